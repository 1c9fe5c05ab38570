"""Turn the probabilities of a model into frames and waves."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from openecg.blocks import blocks
from openecg.errors import DataError
from openecg.files import ParquetRows, parquet_writer, read_keys
from openecg.grouped import first_row
from openecg.predictions import PREDICTION_SCHEMA, strip_name
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
from openecg.stage2.likeliest import likeliest_boundaries
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
    listed = list_windows(probabilities)
    n_waves = write_decoded(
        listed, shards, how, frame_ms=frame_ms, system=system, seed=seed, predictions=predictions
    )
    log.info(
        "%s: %d windows by %s, seed %s, %d waves",
        predictions,
        len(listed.rows),
        system,
        seed,
        n_waves,
    )


def write_decoded(
    listed: "Listed",
    shards: list[Path],
    how: Decoding,
    *,
    frame_ms: float,
    system: str,
    seed: str,
    predictions: Path,
) -> int:
    """Decode windows block by block; parameters as of `decode`.

    Returns
    -------
    int
        Number of waves.
    """
    n_waves = 0
    columns = ["signal"] if looks_at_signal(how) else []
    with parquet_writer(PREDICTION_SCHEMA, predictions) as writer:
        for _, windows, rows in listed.blocks(shards, columns):
            signal = signals_of(rows, shards) if columns else None
            table = decode_windows(
                windows, signal, how, frame_ms=frame_ms, system=system, seed=seed
            )
            n_waves += len(table["wave_kind"].combine_chunks().flatten())
            writer.write(table)
    return n_waves


@dataclass(frozen=True)
class Probabilities:
    """What a model makes of some windows.

    Attributes
    ----------
    path : Path
        A file that they come from, for messages.
    rows : DataFrame
        Keys, ``split`` and ``native_fs_hz`` of each window, in the order in which they come.
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
    """Decode windows, with all leads of a record.

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
    sure = [wave_probability(windows, i, *own) for i, own in enumerate(waves)]
    table["wave_probability"] = [own.astype(np.float32) for own in sure]
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
    native_fs_hz = float(windows.rows["native_fs_hz"].to_numpy(dtype=np.float64)[row])
    kind, on_ms, off_ms = frames_to_waves(labels, frame_ms=windows.label_ms, fs_hz=native_fs_hz)
    if how.likeliest:
        kinds = [code for code, name in KINDS.items() if name in how.likeliest]
        own = windows.classes[row]
        on_ms, off_ms = likeliest_boundaries(
            kind, on_ms, off_ms, own, frame_ms=windows.label_ms, fs_hz=native_fs_hz, kinds=kinds
        )
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


def wave_probability(
    windows: Probabilities, row: int, kind: Classes, on_ms: Times, off_ms: Times
) -> Times:
    """Say how sure a model is that each wave is there.

    Parameters
    ----------
    windows : Probabilities
    row : int
        Which window.
    kind, on_ms, off_ms : ndarray of shape (n_waves,)
        Of `place_waves`.

    Returns
    -------
    ndarray of shape (n_waves,), dtype float64
        The largest probability of its kind over its labels: their mean, which are less sure towards
        the ends, is too low. How often waves are there is in the tables of
        `openecg.stage2.calibration`.
    """
    ends = np.stack([on_ms, off_ms]) / windows.label_ms
    first, last = np.clip(ends, 0, windows.classes.shape[1] - 1).astype(np.int64)
    own = windows.classes[row].astype(np.float64)
    last = np.maximum(first, last)  # a label may be shorter than a sample of the record
    most = [own[a : b + 1, k].max() for k, a, b in zip(kind, first, last, strict=True)]
    return np.array(most, dtype=np.float64)


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


@dataclass(frozen=True)
class Listed:
    """The windows of files of ``predict``, which are read block by block.

    Attributes
    ----------
    paths : list of Path
        The files.
    rows : DataFrame
        Keys, ``split`` and ``native_fs_hz`` of each window, in the order in which they come.
    number : ndarray of shape (n_rows,), dtype int64
        Window of each row of the files, numbered through.
    label_ms, fs_hz : float
        Length of a label in ms, and sampling rate in Hz.
    """

    paths: list[Path]
    rows: pd.DataFrame
    number: npt.NDArray[np.int64]
    label_ms: float
    fs_hz: float

    def blocks(
        self, shards: list[Path], columns: list[str]
    ) -> Iterator[tuple[slice, Probabilities, pa.Table]]:
        """Average what the files say of the same window, and read some columns of the shards.

        Parameters
        ----------
        shards : list of Path
            All shards of the data set; not looked at without ``columns``.
        columns : list of str
            What to read of them.

        Yields
        ------
        windows : slice
            Which windows; all leads of a record and window are in one block.
        probabilities : Probabilities
            Of these windows.
        rows : Table
            Of the shards, a row for each window.

        Raises
        ------
        DataError
            If labels differ in number between windows, or a window is in none of the shards.
        """
        record = self.rows.groupby(RECORD, sort=False).ngroup().to_numpy().astype(np.int64)
        in_shards = rows_in_shards(shards, self.rows) if columns else np.zeros(0, dtype=np.int64)
        in_files = np.argsort(self.number, kind="stable")
        n_copies = self.number.size // len(self.rows)
        with (
            ParquetRows(self.paths, [*KEYS, "probabilities", "offsets"]) as files,
            ParquetRows(shards if columns else [], [*KEYS[1:], *columns]) as truth,
        ):
            for block in blocks(record):
                own = np.sort(in_files[block.start * n_copies : block.stop * n_copies])
                rows = truth.take(in_shards[block]) if columns else pa.table({})
                found = self._averaged(files.take(own), self.number[own] - block.start)
                yield block, replace(found, rows=self.rows[block].reset_index(drop=True)), rows

    def _averaged(self, table: pa.Table, number: npt.NDArray[np.int64]) -> Probabilities:
        """Average the rows of each window, which are numbered from 0."""
        copies = np.bincount(number)

        def averaged(column: str, width: int) -> npt.NDArray[np.float32]:
            values = list_matrix(table, column, self.paths[0]).astype(np.float32)
            total = np.zeros((copies.size, values.shape[1]), dtype=np.float32)
            np.add.at(total, number, values)
            mean: npt.NDArray[np.float32] = total / np.float32(copies[0])
            return mean.reshape(copies.size, -1, width)

        offsets = np.zeros((copies.size, 0, len(BOUNDARIES)), dtype=np.float32)
        if not table["offsets"].null_count:
            offsets = averaged("offsets", len(BOUNDARIES))
        return Probabilities(
            path=self.paths[0],
            rows=self.rows,
            label_ms=self.label_ms,
            fs_hz=self.fs_hz,
            classes=averaged("probabilities", N_CLASSES),
            offsets=offsets,
        )


def list_windows(paths: list[Path]) -> Listed:
    """List the windows of files of ``predict``.

    Raises
    ------
    DataError
        If labels differ in length or rate between windows, or some windows are in fewer files than
        others.
    """
    columns = [*KEYS, "split", "native_fs_hz", "fs_hz", "label_ms"]
    rows = pa.concat_tables([read_keys(path, columns) for path in paths]).to_pandas()
    lengths = rows[["fs_hz", "label_ms"]].drop_duplicates()
    if lengths.shape[0] != 1:
        found = "; ".join(
            f"{label_ms:g} ms at {fs_hz:g} Hz"
            for fs_hz, label_ms in lengths.itertuples(index=False, name=None)
        )
        raise DataError(f"{paths[0]} and others: labels or rates differ between windows: {found}")
    number = rows.groupby(KEYS, sort=False).ngroup().to_numpy().astype(np.int64)
    copies = np.bincount(number)
    if (copies != copies[0]).any():
        odd = rows.loc[int(np.flatnonzero(number == copies.argmin())[0])]
        raise DataError(
            f"{paths[0]} and others: {strip_name(odd[KEYS])} is there {copies.min()} times, "
            f"others up to {copies.max()} times"
        )
    first = ~pd.Series(number).duplicated().to_numpy()
    return Listed(
        paths=paths,
        rows=rows.loc[first, [*KEYS, "split", "native_fs_hz"]].reset_index(drop=True),
        number=number,
        label_ms=float(lengths["label_ms"].iloc[0]),
        fs_hz=float(lengths["fs_hz"].iloc[0]),
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


def signals_of(rows: pa.Table, shards: list[Path]) -> npt.NDArray[np.float32]:
    """Stack the signals of rows of shards, in mV."""
    signals: npt.NDArray[np.float32] = list_matrix(rows, "signal", shards[0])
    return signals


def rows_in_shards(shards: list[Path], rows: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Find windows in their shards.

    Returns
    -------
    ndarray of shape (n_windows,), dtype int64
        Row of each window, numbered through, in the order of ``rows``.

    Raises
    ------
    DataError
        If a window is in none of the shards.
    """
    n_rows, found = 0, []
    records = pa.array(rows["record_id"].unique().tolist(), pa.string())
    for path in shards:
        keys = read_keys(path, KEYS)
        numbers = pa.array(np.arange(n_rows, n_rows + keys.num_rows))
        n_rows += keys.num_rows
        keys = keys.append_column("row", numbers)
        found.append(keys.filter(pc.is_in(keys["record_id"], value_set=records)))
    both = pa.concat_tables(found).to_pandas()
    index = pd.MultiIndex.from_frame(both[KEYS])
    at = index.get_indexer(pd.MultiIndex.from_frame(rows[KEYS]))
    if (at < 0).any():
        strip = strip_name(rows[KEYS].loc[at < 0].iloc[0])
        raise DataError(f"{shards[0].parent}: {strip} is predicted, but not in the shards")
    own: npt.NDArray[np.int64] = both["row"].to_numpy()[at]
    return own
