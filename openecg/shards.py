"""Records become windows at the working rate, with frame labels."""

import logging
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from openecg.errors import ConfigError, DataError
from openecg.files import list_values, read_parquet, write_parquet
from openecg.signals import resample, to_ms
from openecg.waves import (
    IGNORE,
    NOT_MARKED,
    NOTHING_ANNOTATED,
    OTHER,
    QRS,
    P,
    T,
    Waves,
    annotated_span,
    frame_labels,
)
from openecg.windows import WindowRule, cut_windows, waves_in_window

log = logging.getLogger(__name__)

# Columns that a shard takes over from the records as they are.
KEPT = pa.schema(
    [
        ("dataset", pa.string()),
        ("record_id", pa.string()),
        ("lead", pa.string()),
        ("lead_index", pa.int32()),
        ("split", pa.string()),
        ("fold", pa.int32()),
        ("rhythm", pa.string()),
        ("conduction", pa.string()),
        ("paced", pa.bool_()),
    ]
)
READ = [*KEPT.names, "fs_hz", "signal", "wave_kind", "wave_on", "wave_peak", "wave_off"]
SHARD_SCHEMA = pa.schema(
    [
        *KEPT,
        ("window", pa.int32()),
        ("window_start_ms", pa.float64()),
        ("fs_hz", pa.float64()),
        ("native_fs_hz", pa.float64()),
        ("native_samples", pa.int64()),
        ("signal", pa.list_(pa.float32())),
        ("labels", pa.list_(pa.uint8())),
        ("wave_kind", pa.list_(pa.uint8())),
        ("on_ms", pa.list_(pa.float64())),
        ("peak_ms", pa.list_(pa.float64())),
        ("off_ms", pa.list_(pa.float64())),
        ("span_on_ms", pa.float64()),
        ("span_off_ms", pa.float64()),
    ]
)


def window_rows(
    signal: npt.NDArray[np.float32],
    waves: Waves,
    *,
    record_id: str,
    native_fs_hz: float,
    fs_hz: float,
    frame_ms: float,
    window_s: float,
    rule: WindowRule,
) -> list[dict[str, Any]]:
    """Cut one lead to labelled windows.

    The whole lead is resampled before it is cut, so a window has no filter edges of its own.

    Parameters
    ----------
    signal : ndarray of shape (n_samples,), dtype float32
        The lead at ``native_fs_hz``, in mV.
    waves : Waves
        Its waves, at ``native_fs_hz``.
    record_id : str
        Its record, which matters to windows drawn at random only.
    native_fs_hz, fs_hz : float
        Sampling rate of the lead and working rate, in Hz.
    frame_ms, window_s : float
        Length of a frame in ms and of a window in s.
    rule : WindowRule
        How to choose the windows of a long lead.

    Returns
    -------
    list of dict
        For each window the columns of `SHARD_SCHEMA` that do not name the lead. A window up to
        20 ms short is filled with its last value.

    Raises
    ------
    ValueError
        If a sample is NaN or infinite, a mark lies behind the end, or the lead is too short.
    """
    broken = np.flatnonzero(~np.isfinite(signal))
    if broken.size:
        raise ValueError(f"sample {broken[0]} is {signal[broken[0]]}; samples must be finite")
    beyond = waves.marks[waves.marks >= signal.size]
    if beyond.size:
        raise ValueError(f"a mark at sample {beyond[0]} lies behind the {signal.size} samples")
    wanted = round(window_s * fs_hz)
    moved = resample(signal, fs_in_hz=native_fs_hz, fs_out_hz=fs_hz)
    rows = []
    windows = cut_windows(
        waves,
        record_id=record_id,
        n_samples=signal.size,
        fs_hz=native_fs_hz,
        window_s=window_s,
        rule=rule,
    )
    for number, (start, n_samples) in enumerate(windows):
        inside = waves_in_window(waves, start, n_samples)
        span = annotated_span(inside)
        labels = frame_labels(
            inside,
            n_samples=n_samples,
            fs_hz=native_fs_hz,
            frame_ms=frame_ms,
            n_frames=round(window_s * 1000 / frame_ms),
            span=span or NOTHING_ANNOTATED,
        )
        begin = _whole(start * fs_hz / native_fs_hz)
        cut = moved[begin : begin + wanted]
        span_ms = to_ms(np.array(span), fs_hz=native_fs_hz) if span else np.full(2, np.nan)
        rows.append(
            {
                "window": number,
                "window_start_ms": start * 1000.0 / native_fs_hz,
                "fs_hz": fs_hz,
                "native_fs_hz": native_fs_hz,
                "native_samples": n_samples,
                "signal": np.pad(cut, (0, wanted - cut.size), mode="edge"),
                "labels": labels,
                "wave_kind": inside.kind,
                "on_ms": to_ms(inside.on, fs_hz=native_fs_hz),
                "peak_ms": to_ms(inside.peak, fs_hz=native_fs_hz),
                "off_ms": to_ms(inside.off, fs_hz=native_fs_hz),
                "span_on_ms": span_ms[0],
                "span_off_ms": span_ms[1],
            }
        )
    return rows


def write_shard(
    *, records: Path, shard: Path, fs_hz: float, frame_ms: float, window_s: float, windows: str
) -> None:
    """Write the windows of one part of a data set.

    Parameters
    ----------
    records : Path
        One row per record and lead at its native rate (``read-records``).
    shard : Path
        Parquet of `SHARD_SCHEMA`: one row per record, lead and window, in the order of ``records``.
    fs_hz, frame_ms, window_s : float
        Working rate in Hz, length of a frame in ms, length of a window in s.
    windows : str
        How to choose the windows of a long lead: what `WindowRule.from_json` reads.

    Raises
    ------
    ConfigError
        If a window is no whole number of samples and of frames, or a frame of samples, or as
        `WindowRule.from_json`.
    DataError
        If a lead cannot be cut; the message names the file, the record and the lead.
    """
    _check_lengths(fs_hz=fs_hz, frame_ms=frame_ms, window_s=window_s)
    rule = WindowRule.from_json(windows)
    table = read_parquet(records, columns=READ)
    columns: dict[str, list[Any]] = {name: [] for name in SHARD_SCHEMA.names}
    without = outside = 0
    for i in range(table.num_rows):
        row = {name: table[name][i] for name in READ}
        kept = {name: row[name].as_py() for name in KEPT.names}
        try:
            waves = Waves(
                _values(row["wave_kind"], np.uint8),
                _values(row["wave_on"], np.int64),
                _values(row["wave_peak"], np.int64),
                _values(row["wave_off"], np.int64),
            )
            rows = window_rows(
                _values(row["signal"], np.float32),
                waves,
                record_id=kept["record_id"],
                native_fs_hz=row["fs_hz"].as_py(),
                fs_hz=fs_hz,
                frame_ms=frame_ms,
                window_s=window_s,
                rule=rule,
            )
        except ValueError as error:
            raise DataError(
                f"{records}, record {kept['record_id']}, lead {kept['lead']}: {error}"
            ) from error
        without += not rows
        outside += _marks_outside(waves, rows)
        for window in rows:
            for name, value in (kept | window).items():
                columns[name].append(value)
    write_parquet(pa.table(columns, schema=SHARD_SCHEMA), shard)
    counts = np.bincount(np.concatenate([np.zeros(0, np.uint8), *columns["labels"]]), minlength=256)
    found = np.concatenate(
        [np.zeros(0), *columns["on_ms"], *columns["peak_ms"], *columns["off_ms"]]
    )
    log.info(
        "wrote %s: %d windows of %d leads, none of %d leads without marks; "
        "%d marks, %d more outside all windows; "
        "frames: %d other, %d P, %d QRS, %d T, %d not annotated",
        shard,
        len(columns["window"]),
        table.num_rows,
        without,
        np.sum(~np.isnan(found)),
        outside,
        *counts[[OTHER, P, QRS, T, IGNORE]],
    )


def _marks_outside(waves: Waves, rows: list[dict[str, Any]]) -> int:
    """Count the marks of a lead that none of its windows holds."""
    marks = waves.marks[waves.marks != NOT_MARKED]
    held = np.zeros(marks.shape, dtype=bool)
    for row in rows:
        start = round(row["window_start_ms"] * row["native_fs_hz"] / 1000)
        held |= (marks >= start) & (marks < start + row["native_samples"])
    return int(np.sum(~held))


def _check_lengths(*, fs_hz: float, frame_ms: float, window_s: float) -> None:
    """Refuse windows and frames that do not fit into each other."""
    fs, window = Fraction(str(fs_hz)), Fraction(str(window_s))
    frame = Fraction(str(frame_ms)) / 1000
    for text, count in (
        (f"a window of {window_s:g} s holds {float(window * fs):g} samples", window * fs),
        (f"a window of {window_s:g} s holds {float(window / frame):g} frames", window / frame),
        (f"a frame of {frame_ms:g} ms holds {float(frame * fs):g} samples", frame * fs),
    ):
        if count.denominator != 1:
            raise ConfigError(f"fs_hz {fs_hz:g}: {text}; the number must be whole")


def _values(cell: Any, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """Take the numbers of one list cell as ``dtype``."""
    return np.asarray(list_values(cell), dtype=dtype)


def _whole(value: float) -> int:
    """Refuse a position that is not a sample."""
    if value != round(value):
        raise ValueError(f"a window starts at sample {value:g} of the working rate, between two")
    return round(value)
