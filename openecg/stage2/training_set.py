"""Shards become arrays; rows of another split than the wanted one go no further."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from openecg.errors import DataError
from openecg.files import read_parquet
from openecg.signals import z_score
from openecg.waves import IGNORE, KINDS, OTHER

log = logging.getLogger(__name__)

TRAIN = "train"
KEYS = ("dataset", "record_id", "lead", "window", "split")
N_LEADS = 12


@dataclass(frozen=True)
class Windows:
    """Windows of one split, in the order of their files.

    Attributes
    ----------
    rows : pa.Table
        ``KEYS`` and the columns that were asked for.
    signal : ndarray of shape (n_windows, n_samples), dtype float32
        Each window with mean 0 and standard deviation 1.
    lead_index : ndarray of shape (n_windows,), dtype int64
        0 to 11.
    fs_hz : float
        Sampling rate of ``signal`` in Hz.
    """

    rows: pa.Table
    signal: npt.NDArray[np.float32]
    lead_index: npt.NDArray[np.int64]
    fs_hz: float


@dataclass(frozen=True)
class TrainingSet:
    """What a model learns from.

    Attributes
    ----------
    windows : Windows
        Of the training records.
    labels : ndarray of shape (n_windows, n_frames), dtype uint8
        Class of each frame; 255 where nobody annotated.
    fold : ndarray of shape (n_windows,), dtype int64
        Fold of the record of each window.
    """

    windows: Windows
    labels: npt.NDArray[np.uint8]
    fold: npt.NDArray[np.int64]

    def digest(self) -> str:
        """Hash all that training sees of the records."""
        seen = hashlib.sha256(str((self.windows.fs_hz, self.labels.shape)).encode())
        for array in (self.windows.signal, self.windows.lead_index, self.labels, self.fold):
            seen.update(np.ascontiguousarray(array).data)
        return seen.hexdigest()


def read_windows(shards: Sequence[Path], *, split: str, columns: Sequence[str] = ()) -> Windows:
    """Read the windows of one split.

    Parameters
    ----------
    shards : sequence of Path
        Files of ``write-shard``.
    split : str
        Rows of any other split are dropped as soon as a file is open.
    columns : sequence of str
        What to read besides keys and signal.

    Raises
    ------
    DataError
        If no row is of ``split``, windows differ in length or rate, a sample is not finite, or a
        lead is not one of the twelve.
    """
    wanted = [*KEYS, "lead_index", "fs_hz", "signal", *columns]
    rows, signals, found = [], [], set[str]()
    like: tuple[Path, float, int] | None = None
    for path in shards:
        table = read_parquet(path, columns=wanted)
        found.update(table["split"].unique().to_pylist())
        table = table.filter(pc.equal(table["split"], split))
        if not table.num_rows:
            continue
        signal = list_matrix(table, "signal", path).astype(np.float32)
        fs_hz = table["fs_hz"].to_numpy()
        like = like or (path, float(fs_hz[0]), signal.shape[1])
        if (fs_hz != like[1]).any() or signal.shape[1] != like[2]:
            raise DataError(
                f"{path}: windows of {signal.shape[1]} samples at {fs_hz[0]:g} Hz, but "
                f"{like[0]} has {like[2]} at {like[1]:g} Hz; they must be alike"
            )
        for row in np.flatnonzero(~np.isfinite(signal).all(axis=1))[:1]:
            raise DataError(f"{_name(path, table, row)}: a sample is not finite")
        lead_index = table["lead_index"].to_numpy()
        for row in np.flatnonzero((lead_index < 0) | (lead_index >= N_LEADS))[:1]:
            raise DataError(
                f"{_name(path, table, row)}: lead_index {lead_index[row]}; allowed: 0 to 11"
            )
        signals.append(z_score(signal))
        rows.append(table.drop_columns(["signal", "fs_hz"]))
    if like is None:
        names = f"{len(shards)} shards, first {shards[0] if shards else 'none'}"
        raise DataError(f"{names}: no row of split {split!r}; found {sorted(found)}")
    table = pa.concat_tables(rows)
    lead_index = table["lead_index"].to_numpy().astype(np.int64)
    return Windows(table.drop_columns(["lead_index"]), np.concatenate(signals), lead_index, like[1])


def read_training_set(shards: Sequence[Path], *, train_on: Sequence[str]) -> TrainingSet:
    """Read the training records of some data sets; no other record is looked at.

    Parameters
    ----------
    shards : sequence of Path
        Files of ``write-shard``.
    train_on : sequence of str
        The data sets they must hold, and no others.

    Raises
    ------
    DataError
        If a data set has no training row or is not wanted, a label is not 0 to 3 or 255, or as
        `read_windows`.
    """
    windows = read_windows(shards, split=TRAIN, columns=["fold", "labels"])
    found = set(windows.rows["dataset"].unique().to_pylist())
    for dataset in sorted(found ^ set(train_on)):
        problem = "is not in train_on" if dataset in found else "has no training row"
        raise DataError(f"{shards[0]} and others: data set {dataset!r} {problem}")
    labels = list_matrix(windows.rows, "labels", shards[0].parent).astype(np.uint8)
    for row in np.flatnonzero(~np.isin(labels, [OTHER, *KINDS, IGNORE]).all(axis=1))[:1]:
        raise DataError(
            f"{_name(shards[0].parent, windows.rows, row)}: labels {np.unique(labels[row])}; "
            "allowed: 0 to 3 and 255"
        )
    for dataset in train_on:
        of_it = windows.rows.filter(pc.equal(windows.rows["dataset"], dataset))
        n_records = len(of_it["record_id"].unique())
        log.info("%s: %d training windows of %d records", dataset, of_it.num_rows, n_records)
    return TrainingSet(windows, labels, windows.rows["fold"].to_numpy().astype(np.int64))


def list_matrix(table: pa.Table, column: str, path: Path) -> npt.NDArray[Any]:
    """Stack the lists of a column, one row each; DataError if their lengths differ."""
    lists = table[column].combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    for row in np.flatnonzero(lengths != lengths[0])[:1]:
        raise DataError(
            f"{_name(path, table, row)}: {lengths[row]} values of {column!r}, but {lengths[0]} in "
            "the first row; they must be alike"
        )
    values: npt.NDArray[Any] = lists.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(lengths), -1)


def _name(path: Path, table: pa.Table, row: int) -> str:
    """Say where a row stands."""
    record, lead = table["record_id"][int(row)], table["lead"][int(row)]
    return f"{path}, record {record}, lead {lead}"
