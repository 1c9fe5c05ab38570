"""Shards become arrays; rows that a scheme does not select go no further."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from openecg.blocks import BLOCK_ROWS
from openecg.errors import DataError
from openecg.files import ROW_GROUP_ROWS, ParquetRows, read_keys, read_parquet
from openecg.rhythms import has_p_waves
from openecg.selection import learnt_rows
from openecg.signals import z_score
from openecg.stage2.network import N_LEADS
from openecg.stage2.targets import Marks, stack_marks

log = logging.getLogger(__name__)

KEYS = ("dataset", "record_id", "lead", "window", "split")
MARKS = ("wave_kind", "on_ms", "peak_ms", "off_ms", "native_fs_hz", "native_samples", "rhythm")

SIGNAL = ("lead_index", "fs_hz", "signal")

SCALED_ROWS = 32  # at a time; of windows of 10 s, what is needed to scale them fits into a cache

Like = tuple[Path, float, int]  # a file, its sampling rate in Hz, and samples of a window
Select = Callable[[npt.NDArray[np.str_], npt.NDArray[np.int64]], npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class Windows:
    """Selected windows, in the order of their files.

    Attributes
    ----------
    rows : pa.Table
        ``KEYS``, ``fold``, and the columns that were asked for.
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
        Of the records to learn from.
    marks : Marks
        What the experts marked in each window.
    fold : ndarray of shape (n_windows,), dtype int64
        Fold of the record of each window.
    """

    windows: Windows
    marks: Marks
    fold: npt.NDArray[np.int64]

    def digest(self) -> str:
        """Hash all that training sees of the records."""
        seen = hashlib.sha256(str(self.windows.fs_hz).encode())
        marks = [getattr(self.marks, field.name).numpy() for field in fields(self.marks)]
        items = lead_groups(self.windows.rows)
        arrays = (self.windows.signal, self.windows.lead_index, self.fold, items, *marks)
        for array in arrays:
            seen.update(str(array.shape).encode())
            seen.update(np.ascontiguousarray(array).data)
        return seen.hexdigest()


def read_windows(shards: Sequence[Path], *, select: Select, columns: Sequence[str] = ()) -> Windows:
    """Read some windows of shards.

    Parameters
    ----------
    shards : sequence of Path
        Files of ``write-shard``.
    select : callable
        Takes the splits and the folds of the rows of a file, returns which to take. The others are
        dropped as soon as the file is open.
    columns : sequence of str
        What to read besides keys and signal.

    Raises
    ------
    DataError
        If no row is taken, windows differ in length or rate, a sample is not finite, or a lead is
        not one of the twelve.
    """
    wanted = [*KEYS, "fold", *SIGNAL, *columns]
    rows, signals, found = [], [], set[str]()
    like: Like | None = None
    for path in shards:
        table = read_parquet(path, columns=wanted)
        chosen = _select(table, select, found)
        table = table.filter(pa.array(chosen))
        if not table.num_rows:
            continue
        signal, like = _checked_signal(table, path, like)
        for start in range(0, len(signal), SCALED_ROWS):
            signals.append(z_score(signal[start : start + SCALED_ROWS]))
        rows.append(table.drop_columns(["signal", "fs_hz"]))
    if like is None:
        raise _nothing(shards, found)
    table = pa.concat_tables(rows)
    lead_index = table["lead_index"].to_numpy().astype(np.int64)
    return Windows(table.drop_columns(["lead_index"]), np.concatenate(signals), lead_index, like[1])


class FoundWindows:
    """Selected windows that stay in their files.

    Parameters
    ----------
    shards : sequence of Path
        Files of ``write-shard``.
    select : callable
        As for `read_windows`.
    columns : sequence of str
        What to read besides keys and signal.

    Attributes
    ----------
    shards : list of Path
        The files.
    rows : pa.Table
        ``KEYS`` and ``fold`` of the windows, in the order of their files.
    number : ndarray of shape (n_windows,), dtype int64
        Their rows in the files, numbered through.
    file, row_group : ndarray of shape (n_windows,), dtype int64
        Number of the file of each, and of its row group there.
    fs_hz : float
        Sampling rate in Hz.
    n_samples : int
        Samples of each window.

    Raises
    ------
    DataError
        If no row is taken, or the first one is not as `read_windows` asks.
    """

    def __init__(
        self, shards: Sequence[Path], *, select: Select, columns: Sequence[str] = ()
    ) -> None:
        self.shards, self._columns = list(shards), [*KEYS, "fold", *columns]
        self._files = ParquetRows(shards, [*self._columns, *SIGNAL])
        n_rows, rows, numbers, found = 0, [], [], set[str]()
        for path in shards:
            table = read_keys(path, [*KEYS, "fold"])
            chosen = np.flatnonzero(_select(table, select, found))
            rows.append(table.take(chosen))
            numbers.append(chosen + n_rows)
            n_rows += table.num_rows
        self.rows = pa.concat_tables(rows) if rows else pa.table({})
        if not self.rows.num_rows:
            raise _nothing(shards, found)
        self.number = np.concatenate(numbers).astype(np.int64)
        self.file, row = self._files.place_of(self.number)
        self.row_group = row // ROW_GROUP_ROWS
        self._like: Like | None = None
        _, self._like = self._read(np.zeros(1, dtype=np.int64))
        _, self.fs_hz, self.n_samples = self._like

    def read(
        self, which: npt.NDArray[np.int64], *, out: npt.NDArray[np.float32] | None = None
    ) -> Windows:
        """Read some windows, a row group at a time.

        Parameters
        ----------
        which : ndarray of shape (n,), dtype int64
            Positions in ``rows``, in ascending order.
        out : ndarray of shape (n or more, n_samples), dtype float32, optional
            Where the signals are to stand; else in memory of their own.

        Raises
        ------
        DataError
            As `read_windows`.
        """
        out = np.empty((which.size, self.n_samples), dtype=np.float32) if out is None else out
        signal, lead_index = out[: which.size], np.empty(which.size, dtype=np.int64)
        rows = []
        place = np.stack([self.file[which], self.row_group[which]])
        starts = np.flatnonzero((np.diff(place) != 0).any(axis=0)) + 1
        for at in np.split(np.arange(which.size), starts):
            (own, table), _ = self._read(which[at])
            signal[at], lead_index[at] = z_score(own), table["lead_index"].to_numpy()
            rows.append(table.select(self._columns))
        return Windows(pa.concat_tables(rows), signal, lead_index, self.fs_hz)

    def digest(self) -> str:
        """Hash all that training sees of the windows, block by block."""
        seen = hashlib.sha256(f"{self.fs_hz} {self.number.size}".encode())
        for start in range(0, self.number.size, BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, self.number.size)
            windows = self.read(np.arange(start, stop))
            for array in (windows.signal, windows.lead_index):
                seen.update(np.ascontiguousarray(array).data)
            rows = windows.rows.combine_chunks()
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, rows.schema.remove_metadata()) as stream:
                stream.write_table(rows.replace_schema_metadata(None))
            seen.update(sink.getvalue())
        return seen.hexdigest()

    def _read(
        self, which: npt.NDArray[np.int64]
    ) -> tuple[tuple[npt.NDArray[np.float32], pa.Table], Like]:
        """Read windows of one file; give their signals in mV and all other columns."""
        table = self._files.take(self.number[which])
        path = self.shards[int(self.file[which[0]])]
        signal, like = _checked_signal(table, path, self._like)
        return (signal, table.drop_columns(["signal", "fs_hz"])), like


def _select(table: pa.Table, select: Select, found: set[str]) -> npt.NDArray[np.bool_]:
    """Say which rows of a file to take, and note its splits."""
    split = table["split"].to_numpy(zero_copy_only=False).astype(str)
    found.update(split.tolist())
    return select(split, table["fold"].to_numpy().astype(np.int64))


def _checked_signal(
    table: pa.Table, path: Path, like: Like | None
) -> tuple[npt.NDArray[np.float32], Like]:
    """Give the signals of rows of a file, and the first file with its rate and length."""
    signal = list_matrix(table, "signal", path).astype(np.float32, copy=False)
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
    return signal, like


def _nothing(shards: Sequence[Path], found: set[str]) -> DataError:
    """Say that no row was taken."""
    names = f"{len(shards)} shards, first {shards[0] if shards else 'none'}"
    return DataError(f"{names}: no row of the wanted records; found splits {sorted(found)}")


def read_training_set(
    shards: Sequence[Path], *, train_on: Sequence[str], scheme: str
) -> TrainingSet:
    """Read the records of some data sets that a scheme learns from; no other is looked at.

    Parameters
    ----------
    shards : sequence of Path
        Files of ``write-shard``.
    train_on : sequence of str
        The data sets they must hold, and no others.
    scheme : str
        See `openecg.selection`.

    Raises
    ------
    DataError
        If a data set has no row to learn from or is not wanted, or as `read_windows`.
    """
    windows = read_windows(
        shards, select=lambda split, fold: learnt_rows(scheme, split, fold), columns=MARKS
    )
    check_datasets(windows.rows, train_on, shards)
    fold = windows.rows["fold"].to_numpy().astype(np.int64)
    return TrainingSet(windows, marks_of(windows.rows, shards[0].parent), fold)


def check_datasets(rows: pa.Table, train_on: Sequence[str], shards: Sequence[Path]) -> None:
    """Log the windows of each data set; DataError if they are not those of ``train_on``."""
    found = set(rows["dataset"].unique().to_pylist())
    for dataset in sorted(found ^ set(train_on)):
        problem = "is not in train_on" if dataset in found else "has no training row"
        raise DataError(f"{shards[0]} and others: data set {dataset!r} {problem}")
    for dataset in train_on:
        records = rows["record_id"].filter(pc.equal(rows["dataset"], dataset))
        n_records = len(records.unique())
        log.info("%s: %d training windows of %d records", dataset, len(records), n_records)


def marks_of(rows: pa.Table, folder: Path) -> Marks:
    """Stack the marks of windows, with the columns ``MARKS``.

    Raises
    ------
    DataError
        If marks are not as documented.
    """
    try:
        return _stacked_marks(rows)
    except ValueError as error:
        if rows.num_rows <= 1:
            raise DataError(f"{_name(folder, rows, 0)}: {error}") from error
        half = rows.num_rows // 2
        for part in (rows.slice(0, half), rows.slice(half)):  # which of them is the bad one in?
            marks_of(part, folder)
        raise


def _stacked_marks(rows: pa.Table) -> Marks:
    """Stack marks; ValueError if they are not as documented."""
    *lists, fs_hz, n_samples, rhythm = MARKS
    columns, lengths = zip(*(_flat_lists(rows[name]) for name in lists), strict=True)
    if any((own != lengths[0]).any() for own in lengths):
        numbers = ", ".join(str(own.sum()) for own in lengths)
        raise ValueError(f"{', '.join(lists)} must be of one length, got {numbers}")
    return stack_marks(
        *columns,
        n_waves=lengths[0],
        native_fs_hz=rows[fs_hz].to_numpy(),
        native_samples=rows[n_samples].to_numpy(),
        has_p=has_p_waves(rows[rhythm]),
    )


def lead_groups(rows: pa.Table) -> npt.NDArray[np.int64]:
    """Find the leads of each record and window.

    Parameters
    ----------
    rows : pa.Table
        Of `Windows`.

    Returns
    -------
    ndarray of shape (n_items, n_leads), dtype int64
        Rows of the leads that belong together, in their order, item by item. Where there are fewer
        than in the largest item, they are repeated from the first one on.
    """
    keys = rows.select(["dataset", "record_id", "window"]).to_pandas()
    number = keys.groupby(list(keys), sort=False).ngroup().to_numpy()
    order, counts = np.argsort(number, kind="stable"), np.bincount(number)
    member = np.arange(counts.max()) % counts[:, None]
    groups: npt.NDArray[np.int64] = order[(np.cumsum(counts) - counts)[:, None] + member]
    return groups


def list_matrix(table: pa.Table, column: str, path: Path) -> npt.NDArray[Any]:
    """Stack the lists of a column, one row each; DataError if their lengths differ."""
    values, lengths = _flat_lists(table[column])
    for row in np.flatnonzero(lengths != lengths[0])[:1]:
        raise DataError(
            f"{_name(path, table, row)}: {lengths[row]} values of {column!r}, but {lengths[0]} in "
            "the first row; they must be alike"
        )
    return values.reshape(len(lengths), -1)


def _flat_lists(column: pa.ChunkedArray) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32]]:
    """Give the values of all lists of a column, one behind the other, and their lengths."""
    lists = column.combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    return lists.flatten().to_numpy(zero_copy_only=False), lengths


def _name(path: Path, table: pa.Table, row: int) -> str:
    """Say where a row stands."""
    record, lead = table["record_id"][int(row)], table["lead"][int(row)]
    return f"{path}, record {record}, lead {lead}"
