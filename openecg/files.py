"""Write outputs whole or not at all; equal content, made alike, gives equal bytes."""

import os
import secrets
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from openecg.errors import STORAGE_ERRORS, DataError
from openecg.made import NOTE, current_note, metadata_path, table_metadata


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


def write_parquet(table: pa.Table, path: Path, *, row_group_rows: int = 256) -> None:
    """Write ``table`` as zstd Parquet, whole or not at all, with what made it in its schema."""
    if current_note():
        notes = table.schema.metadata or {}
        table = table.replace_schema_metadata(notes | {NOTE: current_note()})
    with written_aside(path) as aside:
        pq.write_table(table, aside, compression="zstd", row_group_size=row_group_rows)


def read_parquet(path: Path, *, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet file of this project.

    Raises
    ------
    DataError
        If the file is not Parquet, is cut short, or lacks one of ``columns``.
    """
    try:
        found = pq.read_schema(path).names
        missing = set(columns or []) - set(found)
        if missing:
            raise DataError(
                f"{path}: no column {', '.join(sorted(missing))}; found {', '.join(found)}"
            )
        return pq.read_table(path, columns=columns, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file: {error}") from error


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
