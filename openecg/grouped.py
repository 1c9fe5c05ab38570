"""Files grouped by what they say in their first row."""

from pathlib import Path

import numpy as np

from openecg.errors import DataError
from openecg.files import ParquetRows


def first_row(path: Path, columns: list[str]) -> list[str]:
    """Give the values of some columns in the first row of a Parquet file.

    Raises
    ------
    DataError
        If the file cannot be read, or has no row.
    """
    with ParquetRows([path], columns) as rows:
        if not len(rows):
            raise DataError(f"{path}: no rows")
        first = rows.take(np.zeros(1, dtype=np.int64)).to_pylist()[0]
    return [str(first[name]) for name in columns]


def by_dataset(shards: list[Path]) -> dict[str, list[Path]]:
    """Group shards by their data set."""
    grouped: dict[str, list[Path]] = {}
    for path in shards:
        grouped.setdefault(first_row(path, ["dataset"])[0], []).append(path)
    return grouped
