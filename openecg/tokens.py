"""Each window of each lead becomes one token stream."""

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from openecg.cells import GRIDS
from openecg.codec import encode_many
from openecg.delineate import METHODS, delineate
from openecg.errors import ConfigError, DataError
from openecg.files import list_values, read_parquet, write_parquet
from openecg.labeler import label_events
from openecg.pacer import HIGH_PASS_HZ, detect_spikes
from openecg.pacing import LOWEST_FS_HZ, detect_pacing
from openecg.vocab import ID_TO_CHAR
from openecg.waves import Waves
from openecg.windows import WindowRule, cut_windows

log = logging.getLogger(__name__)

PACERS = ("coincidence", "high_pass")
KEYS = ("dataset", "record_id", "lead", "split")
READ = (*KEYS, "fs_hz", "signal", "wave_kind", "wave_on", "wave_peak", "wave_off")
TOKEN_SCHEMA = pa.schema(
    [
        *[(name, pa.string()) for name in KEYS],
        ("window", pa.int32()),
        ("window_start_ms", pa.float64()),
        ("stream", pa.string()),
        ("method", pa.string()),
        ("pacer", pa.string()),
        ("grid", pa.string()),
        ("fs_hz", pa.float64()),
        ("native_samples", pa.int64()),
        ("words", pa.list_(pa.uint16())),
        ("compact", pa.string()),
        ("n_beats", pa.int32()),
        ("n_q_peaks", pa.int32()),
        ("n_q_lost", pa.int32()),
        ("n_spikes", pa.int32()),
        ("paced", pa.bool_()),
        ("error", pa.string()),
    ]
)


def find_spikes(
    signals: npt.NDArray[np.floating], *, fs_hz: float, pacer: str
) -> tuple[list[npt.NDArray[np.int64]], bool]:
    """Find the pacemaker spikes that each lead of a strip shows.

    Parameters
    ----------
    signals : ndarray of shape (n_leads, n_samples), floating
        The leads in mV, as recorded.
    fs_hz : float
        Their sampling rate in Hz.
    pacer : str
        ``coincidence``: `openecg.pacing.detect_pacing`, over all leads together. ``high_pass``:
        `openecg.pacer.detect_spikes`, lead by lead, as the reference system does.

    Returns
    -------
    spikes : list of ndarray of shape (n_spikes,), dtype int64
        For each lead the samples of its spikes, ascending.
    paced : bool
        Whether the strip is paced; for ``high_pass``, whether any lead has a spike.

    Raises
    ------
    ValueError
        If ``pacer`` is unknown, or the detector cannot take the rate.
    """
    if pacer == "high_pass":
        spikes = [detect_spikes(signal, fs_hz=fs_hz) for signal in signals]
        return spikes, any(own.size for own in spikes)
    if pacer == "coincidence":
        pacing = detect_pacing(signals, fs_hz=fs_hz)
        return [pacing.spikes[shown] for shown in pacing.leads.T], pacing.paced
    raise ValueError(f"unknown pacer {pacer!r}; one of {', '.join(PACERS)}")


def tokenize_strip(
    signals: npt.NDArray[np.floating], *, fs_hz: float, method: str, pacer: str, grid: str
) -> list[dict[str, Any]]:
    """Delineate the leads of one window of one record and pack the results.

    Parameters
    ----------
    signals : ndarray of shape (n_leads, n_samples), floating
        The leads in mV, as recorded.
    fs_hz : float
        Their sampling rate in Hz.
    method : str
        One of `openecg.delineate.METHODS`.
    pacer : str
        As `find_spikes`.
    grid : str
        As `openecg.labeler.label_events`.

    Returns
    -------
    list of dict
        For each lead the columns ``words`` to ``error`` of `TOKEN_SCHEMA`. Where NeuroKit raises or
        finds no beat the stream is one ``?`` and ``error`` says why; else ``error`` is ``None``.
    """
    rows: list[dict[str, Any]] = []
    streams = []
    spikes, paced = find_spikes(signals, fs_hz=fs_hz, pacer=pacer)
    for signal, own_spikes in zip(signals, spikes, strict=True):
        beats = delineate(signal, fs_hz=fs_hz, method=method)
        labels = label_events(beats, own_spikes, n_samples=signal.size, fs_hz=fs_hz, grid=grid)
        streams.append(labels.events)
        rows.append(
            {
                "compact": "".join([ID_TO_CHAR[symbol] for symbol, _ in labels.events]),
                "n_beats": beats.n_beats,
                "n_q_peaks": int(np.count_nonzero(~np.isnan(beats.q_peak))),
                "n_q_lost": labels.n_q_lost,
                "n_spikes": own_spikes.size,
                "paced": paced,
                "error": beats.error,
            }
        )
    symbols, ms = np.array([event for events in streams for event in events]).reshape(-1, 2).T
    offsets = np.cumsum([0, *map(len, streams)])
    words, ends = encode_many(symbols, ms, offsets)
    for row, own in zip(rows, np.split(words, ends[1:-1]), strict=True):
        row["words"] = own
    return rows


def write_tokens(
    *,
    records: Path,
    tokens: Path,
    stream: str,
    method: str,
    pacer: str,
    grid: str,
    window_s: float,
    windows: str,
) -> None:
    """Write the token streams of one part of a data set.

    Parameters
    ----------
    records : Path
        One row per record and lead at its native rate (``read-records``).
    tokens : Path
        Parquet of `TOKEN_SCHEMA`: one row per record, lead and window, in the order of ``records``.
        The windows are those of the shards, given the same ``window_s`` and ``windows``.
    stream : str
        Name of this way to make tokens; systems are named after it.
    method : str
        How to delineate: one of `openecg.delineate.METHODS`.
    pacer : str
        How to find pacemaker spikes: one of ``PACERS``.
    grid : str
        How samples become multiples of 4 ms: one of `openecg.cells.GRIDS`.
    window_s : float
        Length of a window in s.
    windows : str
        How to choose the windows of a long lead: what `WindowRule.from_json` reads.

    Raises
    ------
    ConfigError
        If ``method``, ``pacer`` or ``grid`` is unknown, or as `WindowRule.from_json`.
    DataError
        If a lead has a rate that method or pacer cannot take, or cannot be cut to windows; the
        message names the file, the record and the lead. A lead that NeuroKit cannot delineate is no
        error.
    """
    ways = {"method": method, "pacer": pacer, "grid": grid}
    for (name, value), allowed in zip(ways.items(), (METHODS, PACERS, GRIDS), strict=True):
        if value not in allowed:
            raise ConfigError(f"{name} {value!r} is unknown; it may be {', '.join(allowed)}")
    rule = WindowRule.from_json(windows)
    table = read_parquet(records, columns=list(READ))
    columns: dict[str, list[Any]] = {name: [] for name in TOKEN_SCHEMA.names}
    for row in _token_rows(table, records, **ways, window_s=window_s, rule=rule):
        row |= {"stream": stream, **ways}
        for name, values in columns.items():
            values.append(row[name])
    write_parquet(pa.table(columns, schema=TOKEN_SCHEMA), tokens)
    reasons = Counter(error for error in columns["error"] if error is not None)
    log.info(
        "%s: %d streams of %d leads by %s, %d beats; %d streams failed%s",
        tokens,
        len(columns["words"]),
        table.num_rows,
        method,
        sum(columns["n_beats"]),
        reasons.total(),
        "".join(f"; {count} x {reason}" for reason, count in sorted(reasons.items())),
    )


@dataclass(frozen=True, eq=False)
class _Lead:
    """One row of the records, and where its windows lie."""

    keys: dict[str, str]
    fs_hz: float
    signal: npt.NDArray[np.float32]
    windows: list[tuple[int, int]]


def _token_rows(
    table: pa.Table,
    records: Path,
    *,
    method: str,
    pacer: str,
    grid: str,
    window_s: float,
    rule: WindowRule,
) -> Iterator[dict[str, Any]]:
    """Tokenize record by record, all leads with the same window at once."""
    record_ids = table["record_id"].to_pylist()
    for _, numbers in groupby(range(table.num_rows), key=record_ids.__getitem__):
        leads = [
            _read_lead(table, i, records, pacer=pacer, window_s=window_s, rule=rule)
            for i in numbers
        ]
        rows: list[list[dict[str, Any]]] = [[] for _ in leads]
        for start, n_samples in sorted({window for lead in leads for window in lead.windows}):
            here = [i for i, lead in enumerate(leads) if (start, n_samples) in lead.windows]
            fs_hz = leads[here[0]].fs_hz
            signals = np.stack([leads[i].signal[start : start + n_samples] for i in here])
            streams = tokenize_strip(signals, fs_hz=fs_hz, method=method, pacer=pacer, grid=grid)
            for i, stream in zip(here, streams, strict=True):
                window = {
                    "window": len(rows[i]),
                    "window_start_ms": start * 1000.0 / fs_hz,
                    "fs_hz": fs_hz,
                    "native_samples": n_samples,
                }
                rows[i].append(leads[i].keys | window | stream)
        for own in rows:
            yield from own


def _read_lead(
    table: pa.Table, i: int, records: Path, *, pacer: str, window_s: float, rule: WindowRule
) -> _Lead:
    """Read one row of the records, checked for what the delineators need."""
    row = {name: table[name][i] for name in READ}
    keys = {name: row[name].as_py() for name in KEYS}
    fs_hz = row["fs_hz"].as_py()
    signal = list_values(row["signal"])
    where = f"{records}, record {keys['record_id']}, lead {keys['lead']}"
    lowest_hz = LOWEST_FS_HZ if pacer == "coincidence" else 2 * HIGH_PASS_HZ + 1
    if fs_hz != round(fs_hz) or fs_hz < lowest_hz:
        raise DataError(
            f"{where}: sampling rate {fs_hz:g} Hz; it must be a whole number, {lowest_hz:g} or "
            f"more, for NeuroKit and the spike detector {pacer}"
        )
    try:
        waves = Waves(*(list_values(row[f"wave_{part}"]) for part in ("kind", "on", "peak", "off")))
        windows = cut_windows(
            waves,
            record_id=keys["record_id"],
            n_samples=signal.size,
            fs_hz=fs_hz,
            window_s=window_s,
            rule=rule,
        )
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error
    return _Lead(keys, fs_hz, signal, windows)
