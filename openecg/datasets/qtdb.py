"""QTDB, the QT Database 1.0.0.

105 records of two leads, 15 min at 250 Hz. Expert marks (annotator q1c) for about 30 beats of each
record, made on both leads together; automatic marks of every beat for each lead (pu0, pu1).
Layout: ``RECORDS``, and for each record ``NAME.hea``, ``NAME.dat`` and annotation files.
"""

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from openecg.archive import Archive
from openecg.datasets import base
from openecg.datasets.base import (
    Lead,
    Record,
    RecordInfo,
    check_unique,
    read_header,
    read_signals,
    standard_name,
)
from openecg.errors import DataError
from openecg.leads import LEADS
from openecg.waves import Waves

EXPERT = "q1c"
AUTOMATIC = ("pu0", "pu1")
# All that the files q1c, pu0 and pu1 hold: brackets, P, T and U waves, beats of five types.
SYMBOLS = frozenset("()ptuNABQV")
# Electrodes are placed otherwise than in LEADS; this is the standard lead that looks most alike.
LIKE = {
    "MLII": "II",
    "MLIII": "III",
    "D3": "III",
    "D4": "III",
    "mod.V1": "V1",
    "V1-V2": "V1",
    "CM2": "V2",
    "V2-V3": "V2",
    "CM4": "V4",
    "V4-V5": "V4",
    "CM5": "V5",
    "CC5": "V5",
    "ML5": "V5",
}
UNKNOWN_LIKE = "II"


def is_needed(member: str, record_ids: Collection[str]) -> bool:
    """Tell whether a file is needed to list the records, or to read some of them."""
    stem, dot, _ = member.rpartition(".")
    return not dot or stem in record_ids


def list_records(archive: Archive) -> list[RecordInfo]:
    """List the records in the order of ``RECORDS``; rhythms and pacing are not published.

    Raises
    ------
    DataError
        If ``RECORDS`` or the sums of the release are missing, or ``RECORDS`` is empty or names a
        record twice.
    """
    record_ids = archive.read_text("RECORDS").split()
    archive.require_sums()
    check_unique(archive, "RECORDS", record_ids)
    return [RecordInfo(record_id, "", "", False, None) for record_id in record_ids]


def read_record(archive: Archive, record_id: str) -> Record:
    """Read the two leads of a record, both with the expert's marks.

    Raises
    ------
    DataError
        If a file or the sums are missing or damaged; see `read_signals`, `read_waves`.
    """
    archive.require_sums()
    header = read_header(archive, record_id)
    waves = base.read_waves(archive, header, EXPERT, allowed=SYMBOLS)
    signals = read_signals(archive, header)
    leads = []
    for name, signal in zip(header.lead_names, signals, strict=True):
        name = standard_name(name)
        leads.append(Lead(name, lead_index(name), signal, waves))
    return Record(record_id, header.fs_hz, leads)


def read_marks(
    archive: Archive, record_id: str, extension: str
) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Read the marks of one annotator.

    Parameters
    ----------
    archive : Archive
        The data set.
    record_id : str
        Such as ``sel100``.
    extension : str
        ``q1c`` (expert, both leads), ``pu0`` or ``pu1`` (automatic, first or second lead).

    Returns
    -------
    samples : ndarray of shape (n_marks,), dtype int64
        Positions at 250 Hz in ascending order.
    symbols : list of str
        One of ``SYMBOLS`` for each.

    Raises
    ------
    DataError
        If the file is missing or damaged, or the annotator is none of these.
    """
    _check_annotator(archive, extension)
    return base.read_marks(archive, read_header(archive, record_id), extension, allowed=SYMBOLS)


def read_waves(archive: Archive, record_id: str, extension: str) -> Waves:
    """Read the marks of one annotator and pair them to waves; see `read_marks`."""
    _check_annotator(archive, extension)
    return base.read_waves(archive, read_header(archive, record_id), extension, allowed=SYMBOLS)


def lead_index(name: str) -> int:
    """Place in ``LEADS`` of a lead, or of the lead most like it; of II if nothing is known."""
    return LEADS.index(name if name in LEADS else LIKE.get(name, UNKNOWN_LIKE))


def _check_annotator(archive: Archive, extension: str) -> None:
    if extension not in (EXPERT, *AUTOMATIC):
        raise DataError(
            f"{archive.path}: unknown annotator {extension!r}; "
            f"allowed are {', '.join((EXPERT, *AUTOMATIC))}"
        )
