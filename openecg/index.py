"""The index of a data set: its records, their splits, folds and parts."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from openecg.archive import Archive, check_sha256, zip_stamp
from openecg.datasets.base import RecordInfo, load_layout
from openecg.errors import ConfigError
from openecg.files import write_parquet
from openecg.splits import (
    TRAIN,
    draw_folds,
    held_out_as_published,
    held_out_by_record,
    held_out_by_rhythm,
    id_order,
)

log = logging.getLogger(__name__)

RULES = ("published", "record", "rhythm")
SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("record_id", pa.string()),
        ("split", pa.string()),
        ("fold", pa.int32()),
        ("part", pa.int32()),
        ("rhythm", pa.string()),
        ("conduction", pa.string()),
        ("paced", pa.bool_()),
    ]
)


def index_records(
    *,
    archive: Path,
    sha256: str,
    dataset: str,
    layout: str,
    parts: int,
    split: str,
    held_out: str,
    fraction: float,
    seed: int,
    index: Path,
) -> None:
    """List the records of a data set, draw its splits and folds and cut it into parts.

    Parameters
    ----------
    archive : Path
        Zip of the data set.
    sha256 : str
        Its published sum; ``""`` if there is none.
    dataset : str
        Name of the data set.
    layout : str
        Loader module in ``openecg.datasets``.
    parts : int
        Number of parts, of equal size and contiguous in the order of the index.
    split : str
        ``rhythm`` (same share of each rhythm), ``record`` (drawn from all alike) or ``published``
        (as the data set has it).
    held_out : str
        Name of the split of the records that are held out; the others are ``train``.
    fraction : float
        Share of the records to hold out, 0 to 1; not used by ``published``.
    seed : int
        Seed of splits and folds.
    index : Path
        Parquet to write, one row for each record; its schema carries the `zip_stamp` of
        ``archive`` as the note ``zip``.

    Raises
    ------
    ConfigError
        If a setting is out of range or does not fit the data set.
    DataError
        If the archive is damaged or not that of ``sha256``, or its lists of records do not agree.
    """
    loader = load_layout(layout)
    if split not in RULES:
        raise ConfigError(f"unknown split {split!r}; allowed are {', '.join(RULES)}")
    if held_out in ("", TRAIN):
        raise ConfigError(f"held_out must be a name other than {TRAIN!r}, got {held_out!r}")
    check_sha256(archive, sha256)
    with Archive(archive, keep=lambda member: loader.is_needed(member, frozenset())) as opened:
        records: list[RecordInfo] = loader.list_records(opened)
    if not 1 <= parts <= len(records):
        raise ConfigError(
            f"parts must be 1 to {len(records)}, the records of {dataset}, got {parts}"
        )
    records = [records[i] for i in id_order([record.record_id for record in records])]
    try:
        mask = _hold_out(records, split=split, fraction=fraction, seed=seed)
    except ValueError as error:
        raise ConfigError(f"dataset {dataset}, split {split!r}: {error}") from error
    table = pa.table(
        {
            "dataset": [dataset] * len(records),
            "record_id": [record.record_id for record in records],
            "split": [held_out if out else TRAIN for out in mask],
            "fold": draw_folds(mask, seed=seed),
            "part": np.arange(len(records)) * parts // len(records),
            "rhythm": [record.rhythm for record in records],
            "conduction": [record.conduction for record in records],
            "paced": [record.paced for record in records],
        },
        schema=SCHEMA.with_metadata({"zip": zip_stamp(archive)}),
    )
    write_parquet(table, index)
    log.info(
        "wrote %s: %d records in %d parts, %d %s, %d %s, %d paced",
        index,
        len(records),
        parts,
        np.count_nonzero(~mask),
        TRAIN,
        np.count_nonzero(mask),
        held_out,
        sum(record.paced for record in records),
    )


def _hold_out(
    records: Sequence[RecordInfo], *, split: str, fraction: float, seed: int
) -> npt.NDArray[np.bool_]:
    """Apply one of ``RULES``."""
    if split == "published":
        return held_out_as_published([record.published_split for record in records])
    record_ids = [record.record_id for record in records]
    if split == "record":
        return held_out_by_record(record_ids, fraction=fraction, seed=seed)
    rhythms = [record.rhythm for record in records]
    return held_out_by_rhythm(record_ids, rhythms, fraction=fraction, seed=seed)
