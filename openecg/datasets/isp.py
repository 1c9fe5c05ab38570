"""ISP, the delineation data set of Zenodo record 14679837.

475 records of 12 leads, about 10 s at 1000 Hz, with one annotation of onsets and offsets for all
leads of a record, and a split into train and test. Layout: for each half
``train_isp_delineation_data.csv`` and the WFDB records ``train_data/NAME``, or the same with
``test``. A record is called ``train-NAME`` or ``test-NAME``, since the names may repeat.
"""

import ast
from collections.abc import Collection

import numpy as np

from openecg.archive import Archive
from openecg.datasets.base import (
    Lead,
    Record,
    RecordInfo,
    check_unique,
    read_csv,
    read_header,
    read_signals,
    standard_order,
)
from openecg.errors import DataError
from openecg.leads import LEADS
from openecg.waves import NOT_MARKED, QRS, P, T, Waves

SPLITS = ("train", "test")
KIND_OF_CLASS = {0: P, 1: QRS, 2: T}


def is_needed(member: str, record_ids: Collection[str]) -> bool:
    """Tell whether a file is needed to list the records: all are, for they have no other list."""
    return True


def list_records(archive: Archive) -> list[RecordInfo]:
    """List the records in the order of the CSV files, train first; rhythms are not published.

    Raises
    ------
    DataError
        If the CSV files and the signal folders do not hold the same records.
    """
    infos = []
    for split in SPLITS:
        names = list(_targets(archive, split))
        folder = f"{split}_data/"
        found = {
            member.removeprefix(folder).removesuffix(".hea")
            for member in archive.members
            if member.startswith(folder) and member.endswith(".hea")
        }
        for missing, text in (
            (set(names) - found, f"is in {_table(split)}, but {folder} has no header of it"),
            (found - set(names), f"is in {folder}, but {_table(split)} has no row of it"),
        ):
            if missing:
                raise DataError(f"{archive.path}: record {min(missing)} {text}")
        infos += [RecordInfo(f"{split}-{name}", "", "", False, split) for name in names]
    return infos


def read_record(archive: Archive, record_id: str) -> Record:
    """Read the twelve leads of a record in the order of ``LEADS``, all with the same waves.

    Raises
    ------
    DataError
        If there is no such record, a file or a lead is missing or damaged, or the annotation is
        not a list of (class, onset, offset) inside the record.
    """
    split, _, name = record_id.partition("-")
    targets = _targets(archive, split) if split in SPLITS else {}
    if name not in targets:
        raise DataError(
            f"{archive.path}: no record {record_id!r}; allowed are train-NAME and test-NAME "
            "with NAME from the CSV files"
        )
    header = read_header(archive, f"{split}_data/{name}")
    order = standard_order(archive, header)
    signals = read_signals(archive, header)
    try:
        waves = parse_target(targets[name], n_samples=header.n_samples)
    except ValueError as error:
        raise DataError(f"{archive.path}: {_table(split)}, record {name}: {error}") from error
    leads = [Lead(lead, i, signals[order[i]], waves) for i, lead in enumerate(LEADS)]
    return Record(record_id, header.fs_hz, leads)


def parse_target(target: str, *, n_samples: int) -> Waves:
    """Turn a cell of the column ``target`` into waves.

    Parameters
    ----------
    target : str
        List of (class, onset, offset) in Python notation; class 0 is P, 1 QRS, 2 T; onset and
        offset are samples.
    n_samples : int
        Length of the record.

    Returns
    -------
    Waves
        In order of onset; peaks are not marked.

    Raises
    ------
    ValueError
        If the cell is no such list, a span is reversed, or it leaves the record.
    """
    try:
        items = ast.literal_eval(target.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"target is not a list of tuples, found {target[:60]!r}") from error
    if not isinstance(items, list):
        raise ValueError(f"target is not a list of tuples, found {target[:60]!r}")
    spans = []
    for item in items:
        if (
            not isinstance(item, tuple)
            or len(item) != 3
            or not all(type(value) is int for value in item)
            or item[0] not in KIND_OF_CLASS
        ):
            raise ValueError(
                f"{str(item)[:60]} is not (class, onset, offset) in whole numbers "
                "with class 0, 1 or 2"
            )
        kind, on, off = item
        if not 0 <= on <= off < n_samples:
            raise ValueError(
                f"span of {item} must go forward and lie inside the record of {n_samples} samples"
            )
        spans.append((on, off, KIND_OF_CLASS[kind]))
    table = np.array(sorted(spans), dtype=np.int64).reshape(-1, 3)
    return Waves(
        kind=table[:, 2].astype(np.uint8),
        on=table[:, 0],
        peak=np.full(len(table), NOT_MARKED, dtype=np.int64),
        off=table[:, 1],
    )


def _table(split: str) -> str:
    """Name the CSV file of a split."""
    return f"{split}_isp_delineation_data.csv"


def _targets(archive: Archive, split: str) -> dict[str, str]:
    """Read the annotation cells of a split, by file name."""
    rows = read_csv(archive, _table(split), ["file_name", "target"])
    names = [row["file_name"].strip() for row in rows]
    check_unique(archive, _table(split), names)
    return {name: row["target"] for name, row in zip(names, rows, strict=True)}
