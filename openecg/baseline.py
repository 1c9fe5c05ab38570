"""Token streams read as predictions, in the form the models write theirs."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from openecg.cells import FORCED
from openecg.codec import Event, decode, to_frames
from openecg.errors import DataError
from openecg.files import parquet_writer, read_parquet
from openecg.predictions import PREDICTION_SCHEMA
from openecg.selection import in_scope, split_name
from openecg.streams import decode_rows
from openecg.vocab import ID_ISO, ID_PACER_SPIKE, SUPER_CLASS
from openecg.waves import OTHER, QRS

log = logging.getLogger(__name__)

KEYS = ("dataset", "record_id", "lead", "window", "split")
READ = (*KEYS, "stream", "grid", "fs_hz", "native_samples", "words")


def waves_of_events(
    events: Sequence[Event], *, n_samples: int, fs_hz: float
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Find the waves of a token stream: its runs of one super class other than ``OTHER``.

    Parameters
    ----------
    events : sequence of (symbol id, length in ms)
        The first one starts at sample 0.
    n_samples : int
        Samples of the strip; what lies behind them is cut off.
    fs_hz : float
        Sampling rate in Hz.

    Returns
    -------
    kind : ndarray of shape (n_waves,), dtype uint8
        ``P``, ``QRS`` or ``T``.
    on, off : ndarray of shape (n_waves,), dtype int64
        First and last sample of each wave, in time order.

    Notes
    -----
    A pacer spike inside a wave splits it in two, as in the reference system; see `settle_spikes`.
    """
    symbols = np.array([symbol for symbol, _ in events], dtype=np.int64)
    kind = SUPER_CLASS[symbols]
    ends_ms = np.cumsum([0.0, *(ms for _, ms in events)])
    bounds = np.minimum(np.rint(ends_ms * fs_hz / 1000).astype(np.int64), n_samples)
    edges = np.flatnonzero(np.diff(kind, prepend=np.uint8(255), append=np.uint8(255)))
    kind, on, off = kind[edges[:-1]], bounds[edges[:-1]], bounds[edges[1:]] - 1
    kept = (kind != OTHER) & (on <= off)
    return kind[kept], on[kept], off[kept]


def settle_spikes(events: Sequence[Event]) -> list[Event]:
    """Take the pacer spikes out of a stream, so that they start waves and do not cut them.

    Parameters
    ----------
    events : sequence of (symbol id, length in ms)
        Neighbours differ in their symbol.

    Returns
    -------
    list of (symbol id, length in ms)
        Of the same times. A spike inside a QRS complex is its start: it belongs to the complex, and
        what lies before it does not. One inside a P or T wave belongs to the wave. Any other is
        ``iso``.

    Notes
    -----
    A paced ventricle is not active before its spike; a delineator may take the spike for the slope
    of a complex that began earlier. Of several ways to treat spikes this one has the best onsets on
    the five paced training records of LUDB.
    """
    symbols = [symbol for symbol, _ in events]
    kinds = [int(SUPER_CLASS[symbol]) for symbol in symbols]
    for i in range(len(kinds)):
        if symbols[i] != ID_PACER_SPIKE:
            continue
        inside = 0 < i < len(kinds) - 1 and kinds[i - 1] == kinds[i + 1] != OTHER
        symbols[i] = symbols[i + 1] if inside else ID_ISO
        kinds[i] = kinds[i + 1] if inside else OTHER
        before = i - 1
        while kinds[i] == QRS and before >= 0 and kinds[before] == QRS:
            symbols[before], kinds[before] = ID_ISO, OTHER
            before -= 1
    return [(symbol, ms) for symbol, (_, ms) in zip(symbols, events, strict=True)]


def predict_tokens(
    *, tokens: list[Path], scope: str, frame_ms: float, n_frames: int, predictions: Path
) -> None:
    """Write the token streams of some records as predictions of the system ``nk_<stream>``.

    Parameters
    ----------
    tokens : list of Path
        All parts of one stream of one data set (``write-tokens``).
    scope : str
        Which records to take: ``held_out``, ``tuning`` (the training records) or ``all``.
    frame_ms : float
        Length of a frame in ms.
    n_frames : int
        Frames of a window; those behind the end of a stream are ``OTHER``.
    predictions : Path
        Parquet of `PREDICTION_SCHEMA`: one row per record, lead and window of the split, in the
        order of ``tokens``. Times are in ms from the start of the window; ``off_ms`` is the time of
        the last sample of a wave.

    Raises
    ------
    DataError
        If the files hold no row of ``split``, are of more than one stream, or a stream cannot be
        decoded.

    Notes
    -----
    Pacer spikes do not cut waves (`settle_spikes`), unless the stream is made the way of the
    reference system, which has them do so (grid ``forced``).
    """
    splits, systems, n_waves = set[str](), set[str](), 0
    names = f"{len(tokens)} token files, first {tokens[0] if tokens else 'none'}"
    with parquet_writer(PREDICTION_SCHEMA, predictions) as writer:
        for path in tokens:
            table = read_parquet(path, columns=list(READ))
            splits.update(table["split"].unique().to_pylist())
            part = _predicted(table, path, scope=scope, frame_ms=frame_ms, n_frames=n_frames)
            systems.update(part["system"].unique().to_pylist())
            n_waves += len(part["wave_kind"].combine_chunks().flatten())
            writer.write(part)
        if not systems:
            raise DataError(f"{names}: no row in scope {scope!r}; found splits {sorted(splits)}")
        if len(systems) > 1:
            listed = ", ".join(sorted(systems))
            raise DataError(f"{names}: systems {listed} in one prediction; one is allowed")
    log.info(
        "%s: %d rows, %s, by %s, %d waves", predictions, writer.n_rows, scope, *systems, n_waves
    )


def _predicted(
    table: pa.Table, path: Path, *, scope: str, frame_ms: float, n_frames: int
) -> pa.Table:
    """Turn the streams of one part that are in scope into rows of `PREDICTION_SCHEMA`."""
    columns: dict[str, list[Any]] = {name: [] for name in PREDICTION_SCHEMA.names}
    streams = _decoded(table, path)
    for row, stream in zip(table.drop_columns("words").to_pylist(), streams, strict=True):
        if not in_scope(scope, row["split"]):
            continue
        events = stream if row["grid"] == FORCED else settle_spikes(stream)
        fs_hz = row["fs_hz"]
        kind, on, off = waves_of_events(events, n_samples=row["native_samples"], fs_hz=fs_hz)
        for name in KEYS:
            columns[name].append(row[name])
        columns["split"][-1] = split_name(scope, row["split"])
        columns["system"].append(f"nk_{row['stream']}")
        columns["seed"].append("")
        frames = to_frames(events, frame_ms, n_frames * frame_ms)
        columns["frames"].append(SUPER_CLASS[frames])
        columns["wave_kind"].append(kind)
        columns["on_ms"].append(on * 1000.0 / fs_hz)
        columns["off_ms"].append(off * 1000.0 / fs_hz)
        columns["wave_probability"].append(None)
    return pa.table(columns, schema=PREDICTION_SCHEMA)


def _decoded(table: pa.Table, path: Path) -> list[list[Event]]:
    """Decode all streams of a file at once; the first one that cannot be is named."""
    try:
        return decode_rows(table["words"])
    except ValueError:
        for row in table.to_pylist():
            try:
                decode(row["words"])
            except ValueError as error:
                where = f"{path}, record {row['record_id']}, lead {row['lead']}"
                raise DataError(f"{where}: {error}") from error
        raise
