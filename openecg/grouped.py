"""Files grouped by what they say in their first row."""

from pathlib import Path

from openecg.errors import DataError
from openecg.files import read_parquet


def first_row(path: Path, columns: list[str]) -> list[str]:
    """Give the values of some columns in the first row of a Parquet file.

    Raises
    ------
    DataError
        If the file cannot be read, or has no row.
    """
    rows = read_parquet(path, columns=columns).slice(0, 1).to_pylist()
    if not rows:
        raise DataError(f"{path}: no rows")
    return [str(rows[0][name]) for name in columns]


def by_dataset(shards: list[Path]) -> dict[str, list[Path]]:
    """Group shards by their data set."""
    grouped: dict[str, list[Path]] = {}
    for path in shards:
        grouped.setdefault(first_row(path, ["dataset"])[0], []).append(path)
    return grouped
