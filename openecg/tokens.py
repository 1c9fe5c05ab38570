"""Each window of each lead becomes one token stream."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from openecg.codec import encode, render_compact
from openecg.delineate import METHODS, delineate
from openecg.errors import ConfigError, DataError
from openecg.files import read_parquet, write_parquet
from openecg.labeler import label_events
from openecg.pacer import HIGH_PASS_HZ, detect_spikes
from openecg.waves import Waves
from openecg.windows import cut_windows

log = logging.getLogger(__name__)

KEYS = ("dataset", "record_id", "lead", "split")
READ = (*KEYS, "fs_hz", "signal", "wave_kind", "wave_on", "wave_peak", "wave_off")
TOKEN_SCHEMA = pa.schema(
    [
        *[(name, pa.string()) for name in KEYS],
        ("window", pa.int32()),
        ("window_start_ms", pa.float64()),
        ("method", pa.string()),
        ("fs_hz", pa.float64()),
        ("native_samples", pa.int64()),
        ("words", pa.list_(pa.uint16())),
        ("compact", pa.string()),
        ("n_beats", pa.int32()),
        ("n_q_peaks", pa.int32()),
        ("error", pa.string()),
    ]
)


def tokenize(
    signal: npt.NDArray[np.floating], *, fs_hz: float, method: str
) -> dict[str, npt.NDArray[np.uint16] | str | int | None]:
    """Delineate one window of one lead and pack the result.

    Parameters
    ----------
    signal : ndarray of shape (n_samples,), floating
        The window in mV, as recorded.
    fs_hz : float
        Its sampling rate in Hz.
    method : str
        One of `openecg.delineate.METHODS`.

    Returns
    -------
    dict
        Columns ``words`` to ``error`` of `TOKEN_SCHEMA`. Where NeuroKit raises or finds no beat the
        stream is one ``?`` and ``error`` says why; else ``error`` is ``None``.
    """
    beats = delineate(signal, fs_hz=fs_hz, method=method)
    spikes = detect_spikes(signal, fs_hz=fs_hz)
    events = label_events(beats, spikes, n_samples=signal.size, fs_hz=fs_hz)
    return {
        "words": encode(events),
        "compact": render_compact(events),
        "n_beats": beats.n_beats,
        "n_q_peaks": int(np.count_nonzero(~np.isnan(beats.q_peak))),
        "error": beats.error,
    }


def write_tokens(*, records: Path, tokens: Path, method: str, window_s: float) -> None:
    """Write the token streams of one part of a data set.

    Parameters
    ----------
    records : Path
        One row per record and lead at its native rate (``read-records``).
    tokens : Path
        Parquet of `TOKEN_SCHEMA`: one row per record, lead and window, in the order of ``records``.
        The windows are those of the shards.
    method : str
        How to delineate: one of `openecg.delineate.METHODS`.
    window_s : float
        Length of a window in s.

    Raises
    ------
    ConfigError
        If ``method`` is unknown.
    DataError
        If a lead has a rate that the method cannot take or cannot be cut to windows; the message
        names the file, the record and the lead. A lead that NeuroKit cannot delineate is no error.
    """
    if method not in METHODS:
        raise ConfigError(f"method {method!r} is unknown; it may be {', '.join(METHODS)}")
    table = read_parquet(records, columns=list(READ))
    columns: dict[str, list[Any]] = {name: [] for name in TOKEN_SCHEMA.names}
    for i in range(table.num_rows):
        row = {name: table[name][i] for name in READ}
        keys = {name: row[name].as_py() for name in KEYS}
        fs_hz = row["fs_hz"].as_py()
        signal = _values(row["signal"])
        where = f"{records}, record {keys['record_id']}, lead {keys['lead']}"
        if fs_hz != round(fs_hz) or fs_hz <= 2 * HIGH_PASS_HZ:
            raise DataError(
                f"{where}: sampling rate {fs_hz:g} Hz; it must be a whole number above "
                f"{2 * HIGH_PASS_HZ:g} for NeuroKit and the spike detector"
            )
        try:
            waves = Waves(*(_values(row[f"wave_{part}"]) for part in ("kind", "on", "peak", "off")))
            windows = cut_windows(waves, n_samples=signal.size, fs_hz=fs_hz, window_s=window_s)
        except ValueError as error:
            raise DataError(f"{where}: {error}") from error
        for number, (start, n_samples) in enumerate(windows):
            window = {
                **keys,
                "window": number,
                "window_start_ms": start * 1000.0 / fs_hz,
                "method": method,
                "fs_hz": fs_hz,
                "native_samples": n_samples,
                **tokenize(signal[start : start + n_samples], fs_hz=fs_hz, method=method),
            }
            for name, value in window.items():
                columns[name].append(value)
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


def _values(scalar: Any) -> npt.NDArray[Any]:
    """Take the numbers of one list cell."""
    values: npt.NDArray[Any] = scalar.values.to_numpy(zero_copy_only=False)
    return values
