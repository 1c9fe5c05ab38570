"""LUDB, the Lobachevsky University Electrocardiography Database 1.0.1.

200 records of 12 leads, 10 s at 500 Hz; a cardiologist marked the waves of each lead by itself.
Layout: ``RECORDS``, ``ludb.csv``, and for each record ``data/N.hea``, ``data/N.dat`` and one
annotation file per lead, ``data/N.i`` to ``data/N.v6``.
"""

from collections.abc import Collection

from openecg.archive import Archive
from openecg.datasets.base import (
    Lead,
    Record,
    RecordInfo,
    check_unique,
    read_csv,
    read_header,
    read_signals,
    read_waves,
    standard_order,
)
from openecg.errors import DataError
from openecg.leads import LEADS

FOLDER = "data/"
COLUMNS = ("ID", "Rhythms", "Conduction abnormalities", "Cardiac pacing")
SYMBOLS = frozenset("()pNt")


def is_needed(member: str, record_ids: Collection[str]) -> bool:
    """Tell whether a file is needed to list the records, or to read some of them."""
    stem, _, _ = member.removeprefix(FOLDER).rpartition(".")
    return not member.startswith(FOLDER) or stem in record_ids


def list_records(archive: Archive) -> list[RecordInfo]:
    """List the records in the order of ``RECORDS``.

    The rhythm is the first line of the cell "Rhythms", the conduction all lines of the cell
    "Conduction abnormalities"; a record is paced if the cell "Cardiac pacing" is not empty.

    Raises
    ------
    DataError
        If ``RECORDS`` and ``ludb.csv`` do not list the same records, or a rhythm or the sums of
        the release are missing.
    """
    listed = archive.read_text("RECORDS").split()
    archive.require_sums()
    for path in listed:
        if not path.startswith(FOLDER):
            raise DataError(f"{archive.path}: RECORDS lists {path!r}; allowed is {FOLDER}...")
    record_ids = [path.removeprefix(FOLDER) for path in listed]
    check_unique(archive, "RECORDS", record_ids)

    rows = read_csv(archive, "ludb.csv", COLUMNS)
    described = [row["ID"].strip() for row in rows]
    check_unique(archive, "ludb.csv", described)
    for one, other, missing in (
        ("ludb.csv", "RECORDS", set(record_ids) - set(described)),
        ("RECORDS", "ludb.csv", set(described) - set(record_ids)),
    ):
        if missing:
            raise DataError(
                f"{archive.path}: {one} lacks record {min(missing)}, which {other} lists"
            )
    infos = {}
    for record_id, row in zip(described, rows, strict=True):
        rhythm = row["Rhythms"].strip().partition("\n")[0].strip()
        if not rhythm:
            raise DataError(f"{archive.path}: ludb.csv gives no rhythm for record {record_id}")
        conduction = "; ".join(map(str.strip, row["Conduction abnormalities"].strip().splitlines()))
        paced = bool(row["Cardiac pacing"].strip())
        infos[record_id] = RecordInfo(record_id, rhythm, conduction, paced, None)
    return [infos[record_id] for record_id in record_ids]


def read_record(archive: Archive, record_id: str) -> Record:
    """Read the twelve leads of a record in the order of ``LEADS``.

    Raises
    ------
    DataError
        If a file, a lead or the sums are missing or damaged; see `read_signals`, `read_waves`.
    """
    archive.require_sums()
    header = read_header(archive, FOLDER + record_id)
    order = standard_order(archive, header)
    signals = read_signals(archive, header)
    leads = [
        Lead(
            name,
            index,
            signals[order[index]],
            read_waves(archive, header, name.lower(), allowed=SYMBOLS),
        )
        for index, name in enumerate(LEADS)
    ]
    return Record(record_id, header.fs_hz, leads)
