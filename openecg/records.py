"""Records of a data set as one table: a row for each lead, with signal and waves."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from openecg.archive import Archive
from openecg.datasets.base import Record, load_layout
from openecg.errors import ConfigError
from openecg.files import read_parquet, write_parquet
from openecg.index import SCHEMA as INDEX_SCHEMA
from openecg.waves import KINDS

log = logging.getLogger(__name__)

SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("record_id", pa.string()),
        ("lead", pa.string()),
        ("lead_index", pa.int32()),
        ("split", pa.string()),
        ("fold", pa.int32()),
        ("rhythm", pa.string()),
        ("conduction", pa.string()),
        ("paced", pa.bool_()),
        ("fs_hz", pa.float64()),
        ("signal", pa.list_(pa.float32())),
        ("wave_kind", pa.list_(pa.uint8())),
        ("wave_on", pa.list_(pa.int64())),
        ("wave_peak", pa.list_(pa.int64())),
        ("wave_off", pa.list_(pa.int64())),
    ]
)


def read_records(*, archive: Path, index: Path, layout: str, part: int, records: Path) -> None:
    """Read the records of one part from the archive of a data set.

    Parameters
    ----------
    archive : Path
        Zip of the data set.
    index : Path
        Its index, from `index_records`.
    layout : str
        Loader module in ``openecg.datasets``.
    part : int
        Which part of the index.
    records : Path
        Parquet to write, one row for each record and lead, in the order of the index.

    Raises
    ------
    ConfigError
        If the index has no such part.
    DataError
        If the archive or a record of it is damaged.
    """
    loader = load_layout(layout)
    listed = read_parquet(index, columns=INDEX_SCHEMA.names)
    rows = listed.filter(pc.equal(listed["part"], part)).to_pylist()
    if not rows:
        allowed = sorted(set(listed["part"].to_pylist()))
        raise ConfigError(f"{index} has no part {part}; allowed are {allowed[0]} to {allowed[-1]}")
    leads: list[dict[str, Any]] = []
    own = frozenset(row["record_id"] for row in rows)
    with Archive(archive, keep=lambda member: loader.is_needed(member, own)) as opened:
        for row in rows:
            leads += _lead_rows(row, loader.read_record(opened, row["record_id"]))
    write_parquet(pa.Table.from_pylist(leads, schema=SCHEMA), records)

    kinds = np.concatenate([lead["wave_kind"] for lead in leads])
    log.info(
        "wrote %s: %d records, %d leads, %s waves, %d without onset, %d without offset",
        records,
        len(rows),
        len(leads),
        ", ".join(f"{np.count_nonzero(kinds == kind)} {name}" for kind, name in KINDS.items()),
        sum(np.count_nonzero(lead["wave_on"] < 0) for lead in leads),
        sum(np.count_nonzero(lead["wave_off"] < 0) for lead in leads),
    )


def _lead_rows(row: dict[str, Any], record: Record) -> list[dict[str, Any]]:
    """Join the leads of a record with its row of the index."""
    shared = {name: row[name] for name in INDEX_SCHEMA.names if name != "part"}
    return [
        {
            **shared,
            "lead": lead.name,
            "lead_index": lead.lead_index,
            "fs_hz": record.fs_hz,
            "signal": lead.signal,
            "wave_kind": lead.waves.kind,
            "wave_on": lead.waves.on,
            "wave_peak": lead.waves.peak,
            "wave_off": lead.waves.off,
        }
        for lead in record.leads
    ]
