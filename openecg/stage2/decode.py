"""Turn the probabilities of a model into frames and waves."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from openecg.errors import DataError
from openecg.files import read_parquet, write_parquet
from openecg.predictions import PREDICTION_SCHEMA
from openecg.stage2.decoders import (
    apply_offsets,
    clean_frames,
    drop_short_waves,
    frames_to_waves,
    refine_boundaries,
    shift_boundaries,
    trim_p,
)
from openecg.stage2.decoding import DOUBLE_COUNTED, NO_OFFSETS, Decoding
from openecg.stage2.training_set import list_matrix
from openecg.waves import BOUNDARIES, KINDS

log = logging.getLogger(__name__)

Classes = npt.NDArray[np.uint8]
Times = npt.NDArray[np.float64]

KEYS = ["dataset", "record_id", "lead", "window"]
N_CLASSES = len(KINDS) + 1


def decode(
    *,
    probabilities: list[Path],
    shards: list[Path],
    decoding: str,
    frame_ms: float,
    system: str,
    seed: str,
    predictions: Path,
) -> None:
    """Write the frames and waves of one system on one data set.

    Parameters
    ----------
    probabilities : list of Path
        Files of ``predict``; where several hold the same window, their mean is decoded.
    shards : list of Path
        All shards of the data set; looked at by decodings that need the signal, and else none.
    decoding : str
        Values of `Decoding`, as JSON.
    frame_ms : float
        Length in ms of the frames to write: a multiple of the labels of the model.
    system, seed : str
        What to call the result.
    predictions : Path
        Parquet of `PREDICTION_SCHEMA`, one row per record, lead and window, sorted by the order in
        which they come. Times are in ms from the start of the window; ``off_ms`` is the time of the
        last sample of a wave.

    Raises
    ------
    ConfigError
        If a value of the decoding is not as documented.
    DataError
        If the files do not belong together, or the decoding needs what they do not hold.
    """
    how = Decoding.from_json(decoding)
    rows, mean, offsets = read_probabilities(probabilities)
    label_ms, fs_hz = float(rows["label_ms"].iloc[0]), float(rows["fs_hz"].iloc[0])
    if how.offsets != NO_OFFSETS and not offsets.size:
        raise DataError(f"{probabilities[0]}: no offsets; decoding {system!r} needs them")
    per_frame = round(frame_ms / label_ms)
    if abs(per_frame * label_ms - frame_ms) > 1e-9:
        raise DataError(
            f"{probabilities[0]}: labels of {label_ms:g} ms do not fill frames of {frame_ms:g} ms"
        )
    looks = how.trim_p_sd or how.refine
    signal = read_signals(shards, rows) if looks else np.zeros((len(rows), 0), dtype=np.float32)
    if not offsets.size:
        offsets = np.zeros((len(rows), 0, len(BOUNDARIES)), dtype=np.float32)
    columns: dict[str, list[Any]] = {"frames": [], "wave_kind": [], "on_ms": [], "off_ms": []}
    for one, ahead, trace in zip(mean, offsets, signal, strict=True):
        decoded = decode_window(one, ahead, trace, how, label_ms=label_ms, fs_hz=fs_hz)
        labels, *waves = decoded
        for values, part in zip(
            columns.values(), (coarser(labels, per_frame), *waves), strict=True
        ):
            values.append(part)
    table = {name: rows[name].tolist() for name in [*KEYS, "split"]} | columns
    table |= {"system": [system] * len(rows), "seed": [seed] * len(rows)}
    write_parquet(pa.table(table, schema=PREDICTION_SCHEMA), predictions)
    log.info(
        "%s: %d windows by %s, seed %s, %d waves",
        predictions,
        len(rows),
        system,
        seed,
        sum(len(kind) for kind in columns["wave_kind"]),
    )


def decode_window(
    probabilities: npt.NDArray[np.float32],
    offsets: npt.NDArray[np.float32],
    signal: npt.NDArray[np.float32],
    how: Decoding,
    *,
    label_ms: float,
    fs_hz: float,
) -> tuple[Classes, Classes, Times, Times]:
    """Decode one window.

    Parameters
    ----------
    probabilities : ndarray of shape (n_labels, 4), dtype float32
        Of other, P, QRS, T.
    offsets : ndarray of shape (n_labels, 6), dtype float32
        Distances to the boundaries in samples at ``fs_hz``; looked at if ``how.offsets`` says so.
    signal : ndarray of shape (n_samples,), dtype float32
        In mV at ``fs_hz``; looked at by ``trim_p_sd`` and ``refine``.
    how : Decoding
    label_ms : float
        Length of a label in ms.
    fs_hz : float
        Sampling rate in Hz.

    Returns
    -------
    labels : ndarray of shape (n_labels,), dtype uint8
        Class of each label.
    kind, on_ms, off_ms : ndarray of shape (n_waves,)
        As `frames_to_waves`; boundaries may have moved from where the labels change.
    """
    labels = probabilities.argmax(axis=1).astype(np.uint8)
    if how.min_run_ms:
        labels = clean_frames(
            labels,
            frame_ms=label_ms,
            min_run_ms=how.min_run_ms,
            merge_gap_ms=how.merge_gap_ms,
        )
    if how.min_wave_ms:
        shortest = dict.fromkeys(KINDS, how.min_wave_ms)
        labels = drop_short_waves(labels, frame_ms=label_ms, min_ms=shortest)
    if how.trim_p_sd:
        labels = trim_p(labels, signal, frame_ms=label_ms, fs_hz=fs_hz, factor=how.trim_p_sd)
    kind, on_ms, off_ms = frames_to_waves(labels, frame_ms=label_ms, fs_hz=fs_hz)
    if how.offsets != NO_OFFSETS:
        on_ms, off_ms = apply_offsets(
            kind,
            on_ms,
            off_ms,
            offsets,
            frame_ms=label_ms,
            fs_hz=fs_hz,
            double_counted_offs=how.offsets == DOUBLE_COUNTED,
        )
    if how.refine:
        kinds = [code for code, name in KINDS.items() if name in how.refine]
        on_ms, off_ms = refine_boundaries(kind, on_ms, off_ms, signal, fs_hz=fs_hz, kinds=kinds)
    if how.p_off_shift_ms:
        on_ms, off_ms = shift_boundaries(
            kind,
            on_ms,
            off_ms,
            shifts_ms={"P_off": how.p_off_shift_ms},
            last_ms=labels.size * label_ms - 1000.0 / fs_hz,
        )
    return labels, kind, on_ms, off_ms


def coarser(labels: npt.NDArray[np.uint8], per_frame: int) -> npt.NDArray[np.uint8]:
    """Give each frame the most frequent of its labels; ties go to the smallest class.

    Parameters
    ----------
    labels : ndarray of shape (n_labels,), dtype uint8
    per_frame : int
        Labels in a frame; a rest at the end is dropped.

    Returns
    -------
    ndarray of shape (n_labels // per_frame,), dtype uint8
    """
    frames = labels[: labels.size // per_frame * per_frame].reshape(-1, per_frame)
    counts = (frames[:, :, None] == np.arange(N_CLASSES)).sum(axis=1)
    coarse: npt.NDArray[np.uint8] = counts.argmax(axis=1).astype(np.uint8)
    return coarse


def read_probabilities(
    paths: list[Path],
) -> tuple[pd.DataFrame, npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Read files of ``predict`` and average what they say of the same window.

    Returns
    -------
    rows : DataFrame
        Keys, ``split``, ``fs_hz`` and ``label_ms`` of each window, in the order in which they come.
    probabilities : ndarray of shape (n_windows, n_labels, 4), dtype float32
    offsets : ndarray of shape (n_windows, n_labels, 6), dtype float32
        In samples at ``fs_hz``; of size 0 if the model gives none.

    Raises
    ------
    DataError
        If labels differ in length, rate or number between windows, or some windows are in fewer
        files than others.
    """
    columns = [*KEYS, "split", "fs_hz", "label_ms", "probabilities", "offsets"]
    table = pa.concat_tables([read_parquet(path, columns=columns) for path in paths])
    rows = table.drop_columns(["probabilities", "offsets"]).to_pandas()
    if rows[["fs_hz", "label_ms"]].drop_duplicates().shape[0] != 1:
        raise DataError(f"{paths[0]} and others: labels or rates differ between windows")
    number = rows.groupby(KEYS, sort=False).ngroup().to_numpy()
    copies = np.bincount(number)
    if (copies != copies[0]).any():
        raise DataError(f"{paths[0]} and others: a window is in {copies.min()} to {copies.max()}")

    def averaged(column: str, width: int) -> npt.NDArray[np.float32]:
        values = list_matrix(table, column, paths[0]).astype(np.float32)
        total = np.zeros((copies.size, values.shape[1]), dtype=np.float32)
        np.add.at(total, number, values)
        mean: npt.NDArray[np.float32] = total / np.float32(copies[0])
        return mean.reshape(copies.size, -1, width)

    has_offsets = table["offsets"].null_count == 0
    return (
        rows.loc[~pd.Series(number).duplicated().to_numpy()].reset_index(drop=True),
        averaged("probabilities", N_CLASSES),
        averaged("offsets", len(BOUNDARIES)) if has_offsets else np.zeros(0, dtype=np.float32),
    )


def read_signals(shards: list[Path], rows: pd.DataFrame) -> npt.NDArray[np.float32]:
    """Read the signals of windows, in mV, in the order of ``rows``."""
    tables = [read_parquet(path, columns=[*KEYS, "signal"]) for path in shards]
    both = pa.concat_tables(tables)
    index = pd.MultiIndex.from_frame(both.select(KEYS).to_pandas())
    at = index.get_indexer(pd.MultiIndex.from_frame(rows[KEYS]))
    if (at < 0).any():
        raise DataError(f"{shards[0]} and others: {rows[KEYS].loc[at < 0].iloc[0].tolist()} lacks")
    signals: npt.NDArray[np.float32] = list_matrix(both.take(at), "signal", shards[0])
    return signals
