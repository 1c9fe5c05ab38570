"""Write outputs whole or not at all; equal content, made alike, gives equal bytes."""

import os
import secrets
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from openecg.errors import STORAGE_ERRORS, DataError
from openecg.made import NOTE, current_note, metadata_path, table_metadata

ROW_GROUP_ROWS = 256  # of leads of 10 s at 250 Hz some 2.5 MB


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield a path in the same folder; move it to ``path`` only when the block succeeds.

    A killed or failed step leaves no half-written output, and two copies of a step, on two nodes
    of a cluster say, cannot mix their bytes, because each writes a file of its own.

    Raises
    ------
    OSError
        If the disk is full or closed to writing; ``filename`` then names ``path``.
    """
    aside = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        with aside.open("rb") as file:
            os.fsync(file.fileno())  # a rename may outlive the bytes when a node dies
        os.replace(aside, path)
    except OSError as error:
        if error.errno in STORAGE_ERRORS and error.filename in (None, str(aside)):
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        raise
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def write_parquet(table: pa.Table, path: Path, *, row_group_rows: int = ROW_GROUP_ROWS) -> None:
    """Write ``table`` as zstd Parquet, whole or not at all, with what made it in its schema."""
    with parquet_writer(table.schema, path, row_group_rows=row_group_rows) as writer:
        writer.write(table)


@contextmanager
def parquet_writer(
    schema: pa.Schema, path: Path, *, row_group_rows: int = ROW_GROUP_ROWS
) -> Iterator["ParquetWriter"]:
    """Write zstd Parquet piece by piece, whole or not at all, with what made it in its schema.

    How rows are divided into pieces does not change the bytes; no more than a row group is held.

    Parameters
    ----------
    schema : Schema
        Of all pieces.
    path : Path
        The file; it appears when the block succeeds.
    row_group_rows : int
        Rows of each row group but the last.
    """
    if current_note():
        schema = schema.with_metadata((schema.metadata or {}) | {NOTE: current_note()})
    with (
        written_aside(path) as aside,
        pq.ParquetWriter(aside, schema, compression="zstd") as file,
    ):
        writer = ParquetWriter(file, schema, row_group_rows)
        yield writer
        writer.finish()


class ParquetWriter:
    """Of `parquet_writer`: gathers rows to row groups.

    Attributes
    ----------
    n_rows : int
        Rows so far.
    """

    def __init__(self, file: pq.ParquetWriter, schema: pa.Schema, row_group_rows: int) -> None:
        self.n_rows = 0
        self._file, self._schema, self._most = file, schema, row_group_rows
        self._waiting = schema.empty_table()

    def write(self, table: pa.Table) -> None:
        """Append rows, whose columns are those of the schema."""
        self.n_rows += table.num_rows
        table = table.replace_schema_metadata(self._schema.metadata)
        waiting = pa.concat_tables([self._waiting, table])
        whole = waiting.num_rows // self._most * self._most
        for start in range(0, whole, self._most):
            self._write_group(waiting.slice(start, self._most))
        self._waiting = waiting.slice(whole)

    def finish(self) -> None:
        """Write what is left."""
        if self._waiting.num_rows or not self.n_rows:
            self._write_group(self._waiting)

    def _write_group(self, table: pa.Table) -> None:
        self._file.write_table(table.combine_chunks(), row_group_size=self._most)


def read_parquet(path: Path, *, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet file of this project.

    Raises
    ------
    DataError
        If the file is not Parquet, is cut short, or lacks one of ``columns``.
    """
    wanted = None if columns is None else list(columns)
    try:
        _require(path, pq.read_schema(path).names, wanted or [])
        return pq.read_table(path, columns=wanted, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file: {error}") from error


def read_keys(path: Path, columns: Sequence[str]) -> pa.Table:
    """Read columns that are small beside others of a file, in no more memory than they take.

    Errors are those of `read_parquet`.
    """
    try:
        with pq.ParquetFile(path) as file:
            _require(path, file.schema_arrow.names, columns)
            groups = range(file.metadata.num_row_groups)
            tables = [file.read_row_group(i, list(columns), use_threads=False) for i in groups]
            return pa.concat_tables(tables or [file.schema_arrow.empty_table().select(columns)])
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file: {error}") from error


class ParquetRows:
    """Rows of Parquet files, numbered through, of which one row group is read at a time.

    A context manager. One file is open at a time.

    Parameters
    ----------
    paths : sequence of Path
        Files of this project.
    columns : sequence of str
        What to read of each row.

    Attributes
    ----------
    paths : list of Path

    Raises
    ------
    DataError
        If a file is not Parquet, is cut short, or lacks one of ``columns``.
    """

    def __init__(self, paths: Sequence[Path], columns: Sequence[str]) -> None:
        self.paths, self._columns = list(paths), list(columns)
        self._at = -1
        self._file: pq.ParquetFile | None = None
        lengths = []
        for number in range(len(self.paths)):
            lengths.append(self._open(number).metadata.num_rows)
        self._starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])

    def __enter__(self) -> Self:
        """Return the open files."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file that is open."""
        self._close()

    def __len__(self) -> int:
        """Count the rows of all files."""
        return int(self._starts[-1])

    def place_of(
        self, rows: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Give the number of the file of each row, and the number of the row in it."""
        file: npt.NDArray[np.int64] = np.searchsorted(self._starts, rows, side="right") - 1
        return file, rows - self._starts[file]

    def take(self, rows: npt.NDArray[np.int64]) -> pa.Table:
        """Read some rows.

        Parameters
        ----------
        rows : ndarray of shape (n,), dtype int64
            Their numbers, in any order.

        Returns
        -------
        Table
            A row for each, in the order of ``rows``.

        Raises
        ------
        DataError
            If a file is damaged.
        """
        order = np.argsort(rows, kind="stable")
        file, row = self.place_of(rows[order])
        pieces: list[pa.Table] = []
        for one in np.unique(file).tolist():
            pieces += self._pieces(one, row[file == one])
        if not pieces:
            schema = self._open(0).schema_arrow
            return schema.empty_table().select(self._columns)
        table = pa.concat_tables(pieces)
        if np.array_equal(order, np.arange(order.size)):
            return table
        back = np.empty_like(order)
        back[order] = np.arange(order.size)
        return table.take(back)

    def _pieces(self, number: int, rows: npt.NDArray[np.int64]) -> Iterator[pa.Table]:
        """Give rows of one file, in ascending order, a piece for each row group."""
        file = self._open(number)
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
        ends = np.cumsum(sizes, dtype=np.int64)
        group = np.searchsorted(ends, rows, side="right")
        for one in np.unique(group).tolist():
            try:
                table = file.read_row_group(one, columns=self._columns)
            except (pa.ArrowException, OSError) as error:
                text = f"{self.paths[number]}: not a readable Parquet file: {error}"
                raise DataError(text) from error
            yield table.take(rows[group == one] - (ends[one] - sizes[one]))

    def _open(self, number: int) -> pq.ParquetFile:
        """Open one of the files instead of the one that is open."""
        if self._file is None or self._at != number:
            self._close()
            path = self.paths[number]
            try:
                self._file, self._at = pq.ParquetFile(path), number
            except (pa.ArrowException, OSError) as error:
                raise DataError(f"{path}: not a readable Parquet file: {error}") from error
            _require(path, self._file.schema_arrow.names, self._columns)
        assert self._file is not None
        return self._file

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None


def _require(path: Path, found: Sequence[str], wanted: Sequence[str]) -> None:
    missing = set(wanted) - set(found)
    if missing:
        raise DataError(f"{path}: no column {', '.join(sorted(missing))}; found {', '.join(found)}")


def parquet_note(path: Path, name: str) -> str:
    """Return a note that the schema of a Parquet file carries; ``""`` without file or note."""
    try:
        notes = pq.read_schema(path).metadata or {}
    except (pa.ArrowInvalid, OSError):
        return ""
    return str(notes.get(name.encode(), b"").decode())


def list_values(cell: Any) -> npt.NDArray[Any]:
    """Take the numbers of one cell of a column of lists."""
    values: npt.NDArray[Any] = cell.values.to_numpy(zero_copy_only=False)
    return values


def write_tsv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as TSV with six significant digits, whole or not at all.

    What made it stands beside it, in `openecg.made.metadata_path`, which is written first.
    """
    with written_aside(path) as aside:
        frame.to_csv(aside, sep="\t", index=False, float_format="%.6g")
        if current_note():
            with written_aside(metadata_path(path)) as beside:
                beside.write_text(table_metadata(path, aside))


def read_tsv(path: Path) -> pd.DataFrame:
    """Read a TSV table of this project; identifiers such as record ids and seeds stay text."""
    text: dict[Hashable, type[str]] = {name: str for name in ("record_id", "seed", "system")}
    return pd.read_csv(path, sep="\t", dtype=text, keep_default_na=False, na_values=["", "nan"])
