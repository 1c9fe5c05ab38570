"""Turn the probabilities of a model into frames and waves."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from openecg.errors import DataError
from openecg.files import read_parquet, write_parquet
from openecg.grouped import first_row
from openecg.predictions import PREDICTION_SCHEMA
from openecg.stage2.decoders import (
    apply_offsets,
    clean_frames,
    drop_rare_p,
    drop_short_waves,
    frames_to_waves,
    refine_boundaries,
    shift_boundaries,
    trim_p,
)
from openecg.stage2.decoding import DOUBLE_COUNTED, NO_OFFSETS, OF_RECORD, Decoding
from openecg.stage2.network import N_CLASSES
from openecg.stage2.training_set import list_matrix
from openecg.waves import BOUNDARIES, KINDS

log = logging.getLogger(__name__)

Classes = npt.NDArray[np.uint8]
Times = npt.NDArray[np.float64]

KEYS = ["dataset", "record_id", "lead", "window"]
RECORD = ["dataset", "record_id", "window"]
ALL_SEEDS = "all"  # the seed of an ensemble


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
    windows = read_probabilities(probabilities)
    signal = read_signals(shards, windows.rows) if looks_at_signal(how) else None
    table = decode_windows(windows, signal, how, frame_ms=frame_ms, system=system, seed=seed)
    write_parquet(table, predictions)
    log.info(
        "%s: %d windows by %s, seed %s, %d waves",
        predictions,
        table.num_rows,
        system,
        seed,
        len(table["wave_kind"].combine_chunks().flatten()),
    )


@dataclass(frozen=True)
class Probabilities:
    """What a model makes of some windows.

    Attributes
    ----------
    path : Path
        A file that they come from, for messages.
    rows : DataFrame
        Keys and ``split`` of each window, in the order in which they come.
    label_ms, fs_hz : float
        Length of a label in ms, and sampling rate in Hz.
    classes : ndarray of shape (n_windows, n_labels, 4), dtype float32
        Probability of other, P, QRS, T.
    offsets : ndarray of shape (n_windows, n_labels, 6), dtype float32
        In samples at ``fs_hz``; ``n_labels`` is 0 if the model gives none.
    """

    path: Path
    rows: pd.DataFrame
    label_ms: float
    fs_hz: float
    classes: npt.NDArray[np.float32]
    offsets: npt.NDArray[np.float32]


def looks_at_signal(how: Decoding) -> bool:
    """Tell whether a decoding needs the signals."""
    return bool(how.trim_p_sd or how.refine)


def decode_windows(
    windows: Probabilities,
    signal: npt.NDArray[np.float32] | None,
    how: Decoding,
    *,
    frame_ms: float,
    system: str,
    seed: str,
) -> pa.Table:
    """Decode all windows.

    Parameters
    ----------
    windows : Probabilities
    signal : ndarray of shape (n_windows, n_samples), dtype float32, or None
        In mV; for decodings that look at it.
    how : Decoding
    frame_ms : float
        Length of the frames in ms: a multiple of the labels.
    system, seed : str
        What to call the result.

    Returns
    -------
    Table
        Of `PREDICTION_SCHEMA`.

    Raises
    ------
    DataError
        If the labels do not fill the frames, or the decoding needs offsets that are not there.
    """
    windows = joined(windows, how.label_ms) if how.label_ms else windows
    per_frame = round(frame_ms / windows.label_ms)
    if abs(per_frame * windows.label_ms - frame_ms) > 1e-9:
        raise DataError(
            f"{windows.path}: labels of {windows.label_ms:g} ms do not fill frames of "
            f"{frame_ms:g} ms"
        )
    if how.offsets != NO_OFFSETS and not windows.offsets.size:
        raise DataError(f"{windows.path}: no offsets; decoding {system!r} needs them")
    labels = decode_labels(windows, signal, how)
    waves = [place_waves(windows, signal, how, i, own) for i, own in enumerate(labels)]
    table: dict[str, Any] = {name: windows.rows[name].tolist() for name in [*KEYS, "split"]}
    table["frames"] = [coarser(own, per_frame) for own in labels]
    columns = zip(*waves, strict=True)
    table |= dict(zip(("wave_kind", "on_ms", "off_ms"), columns, strict=True))
    table |= {"system": [system] * len(labels), "seed": [seed] * len(labels)}
    return pa.table(table, schema=PREDICTION_SCHEMA)


def joined(windows: Probabilities, label_ms: float) -> Probabilities:
    """Join labels to longer ones.

    Parameters
    ----------
    windows : Probabilities
    label_ms : float
        Length of the new labels in ms: a multiple of that of the old.

    Returns
    -------
    Probabilities
        With the mean probability of the labels in each new one, and the offsets of the first of
        them, which begins where the new one does. A rest at the end is dropped.

    Raises
    ------
    DataError
        If old labels do not fill new ones.
    """
    n = round(label_ms / windows.label_ms)
    if n < 1 or abs(n * windows.label_ms - label_ms) > 1e-9:
        raise DataError(
            f"{windows.path}: labels of {windows.label_ms:g} ms do not fill labels of "
            f"{label_ms:g} ms"
        )
    rows, labels, width = windows.classes.shape
    whole = labels // n * n
    classes = windows.classes[:, :whole].reshape(rows, -1, n, width).mean(axis=2)
    offsets = windows.offsets[:, :whole:n]
    return replace(windows, label_ms=label_ms, classes=classes, offsets=offsets)


def decode_labels(
    windows: Probabilities, signal: npt.NDArray[np.float32] | None, how: Decoding
) -> list[Classes]:
    """Give each label of each window a class, and clean up.

    Parameters
    ----------
    windows : Probabilities
    signal : ndarray of shape (n_windows, n_samples), dtype float32, or None
        In mV; looked at by ``trim_p_sd``.
    how : Decoding

    Returns
    -------
    list of ndarray of shape (n_labels,), dtype uint8
        In the order of ``windows``.
    """
    rate = {"frame_ms": windows.label_ms}
    labels: list[Classes] = list(windows.classes.argmax(axis=2).astype(np.uint8))
    if how.min_run_ms:
        limits = {"min_run_ms": how.min_run_ms, "merge_gap_ms": how.merge_gap_ms}
        labels = [clean_frames(own, **limits, **rate) for own in labels]
    if how.min_wave_ms:
        shortest = dict.fromkeys(KINDS, how.min_wave_ms)
        labels = [drop_short_waves(own, min_ms=shortest, **rate) for own in labels]
    if how.min_p_share:
        keys = RECORD if how.p_share_of == OF_RECORD else KEYS
        for members in windows.rows.groupby(keys, sort=False).indices.values():
            kept = drop_rare_p([labels[i] for i in members], min_share=how.min_p_share)
            for i, own in zip(members, kept, strict=True):
                labels[i] = own
    if how.trim_p_sd and signal is not None:
        limits = {"factor": how.trim_p_sd, "fs_hz": windows.fs_hz}
        pairs = zip(labels, signal, strict=True)
        labels = [trim_p(own, trace, **limits, **rate) for own, trace in pairs]
    return labels


def place_waves(
    windows: Probabilities,
    signal: npt.NDArray[np.float32] | None,
    how: Decoding,
    row: int,
    labels: Classes,
) -> tuple[Classes, Times, Times]:
    """Turn the labels of one window into waves, and move their boundaries.

    Parameters
    ----------
    windows : Probabilities
    signal : ndarray of shape (n_windows, n_samples), dtype float32, or None
        In mV; looked at by ``refine``.
    how : Decoding
    row : int
        Which window.
    labels : ndarray of shape (n_labels,), dtype uint8
        Of `decode_labels`.

    Returns
    -------
    kind, on_ms, off_ms : ndarray of shape (n_waves,)
        As `frames_to_waves`; boundaries may have moved from where the labels change.
    """
    rate = {"frame_ms": windows.label_ms, "fs_hz": windows.fs_hz}
    kind, on_ms, off_ms = frames_to_waves(labels, **rate)
    if how.offsets != NO_OFFSETS:
        ahead = windows.offsets[row]
        double = how.offsets == DOUBLE_COUNTED
        on_ms, off_ms = apply_offsets(
            kind, on_ms, off_ms, ahead, double_counted_offs=double, **rate
        )
    if how.refine and signal is not None:
        kinds = [code for code, name in KINDS.items() if name in how.refine]
        on_ms, off_ms = refine_boundaries(
            kind, on_ms, off_ms, signal[row], fs_hz=windows.fs_hz, kinds=kinds
        )
    if how.p_off_shift_ms:
        last_ms = labels.size * windows.label_ms - 1000.0 / windows.fs_hz
        shifts_ms = {"P_off": how.p_off_shift_ms}
        on_ms, off_ms = shift_boundaries(kind, on_ms, off_ms, shifts_ms=shifts_ms, last_ms=last_ms)
    return kind, on_ms, off_ms


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


def read_probabilities(paths: list[Path]) -> Probabilities:
    """Read files of ``predict`` and average what they say of the same window.

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

    offsets = np.zeros((copies.size, 0, len(BOUNDARIES)), dtype=np.float32)
    if not table["offsets"].null_count:
        offsets = averaged("offsets", len(BOUNDARIES))
    return Probabilities(
        path=paths[0],
        rows=rows.loc[~pd.Series(number).duplicated().to_numpy()].reset_index(drop=True),
        label_ms=float(rows["label_ms"].iloc[0]),
        fs_hz=float(rows["fs_hz"].iloc[0]),
        classes=averaged("probabilities", N_CLASSES),
        offsets=offsets,
    )


def by_seed(paths: list[Path], *, ensemble: bool) -> dict[str, dict[str, list[Path]]]:
    """Group files of ``predict`` by data set, and then by seed.

    Parameters
    ----------
    paths : list of Path
    ensemble : bool
        All seeds together, as ``all``.
    """
    grouped: dict[str, dict[str, list[Path]]] = {}
    for path in paths:
        dataset, seed = first_row(path, ["dataset", "seed"])
        of_seed = grouped.setdefault(dataset, {})
        of_seed.setdefault(ALL_SEEDS if ensemble else seed, []).append(path)
    return grouped


def read_signals(shards: list[Path], rows: pd.DataFrame) -> npt.NDArray[np.float32]:
    """Read the signals of windows, in mV, in the order of ``rows``."""
    table = shard_rows(shards, rows, ["signal"])
    signals: npt.NDArray[np.float32] = list_matrix(table, "signal", shards[0])
    return signals


def shard_rows(shards: list[Path], rows: pd.DataFrame, columns: list[str]) -> pa.Table:
    """Read some columns of windows from their shards, in the order of ``rows``.

    Raises
    ------
    DataError
        If a window is in none of the shards.
    """
    both = pa.concat_tables([read_parquet(path, columns=[*KEYS, *columns]) for path in shards])
    index = pd.MultiIndex.from_frame(both.select(KEYS).to_pandas())
    at = index.get_indexer(pd.MultiIndex.from_frame(rows[KEYS]))
    if (at < 0).any():
        raise DataError(f"{shards[0]} and others: {rows[KEYS].loc[at < 0].iloc[0].tolist()} lacks")
    return both.take(at)
