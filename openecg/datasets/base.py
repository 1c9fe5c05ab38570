"""What all data sets have in common: their records, and reading WFDB files from a zip.

A data set is a module of this package with three functions: ``list_records(archive)``,
``read_record(archive, record_id)``, and ``is_needed(member, record_ids)``, which tells whether a
file of the zip is needed for the first, or to read some records. Its name is the ``layout`` of the
configuration.
"""

import csv
import importlib
import io
import logging
import re
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import wfdb

from openecg.archive import Archive
from openecg.datasets import LAYOUTS
from openecg.datasets.annotations import parse_annotation
from openecg.errors import ConfigError, DataError
from openecg.leads import LEADS
from openecg.waves import Waves, pair_marks

log = logging.getLogger(__name__)

SPELLING = {name.lower(): name for name in LEADS}
LEAD_WORD = re.compile(r"^(ecg[ _-])?lead[ _-]?")

MV_PER_UNIT = {"mV": 1.0, "uV": 1e-3, "µV": 1e-3, "mkV": 1e-3, "mkv": 1e-3, "V": 1e3}
# Bits of a sample in each uncompressed signal format: WFDB header(5), signal(5).
BITS_PER_SAMPLE = {"8": 8, "80": 8, "16": 16, "61": 16, "160": 16, "212": 12, "24": 24, "32": 32}
FS_HZ = (50, 100_000)  # one sample per 20 ms frame is the least that can be labelled
# The line length is that of header(5); wfdb takes minutes for a long line of garbage.
MAX_HEADER_BYTES = 65536
MAX_LINE = 254
MAX_RECORD_ID = 100
# A lead with more of its samples at its highest or lowest value than this is saturated. The most
# in real data is 0.11, in sel42 of QTDB.
SATURATED = 0.5


@dataclass(frozen=True)
class RecordInfo:
    """What the archive tells about a record without its signals.

    Attributes
    ----------
    record_id : str
        Unique in its data set.
    rhythm : str
        Rhythm as published; empty where it is not.
    conduction : str
        Conduction abnormalities as published, separated by "; "; empty where none is told.
    paced : bool
        Whether the archive says that the heart is paced.
    published_split : str or None
        ``"train"`` or ``"test"``; ``None`` where the data set has no split of its own.
    """

    record_id: str
    rhythm: str
    conduction: str
    paced: bool
    published_split: str | None


@dataclass(frozen=True)
class Lead:
    """One lead of a record.

    Attributes
    ----------
    name : str
        Spelled as in ``LEADS``, or as in the archive if it is none of them.
    lead_index : int
        Place in ``LEADS`` of the lead, or of the lead most like it.
    signal : ndarray of shape (n_samples,), dtype float32
        In mV.
    waves : Waves
        Expert annotation, in samples.
    """

    name: str
    lead_index: int
    signal: npt.NDArray[np.float32]
    waves: Waves


@dataclass(frozen=True)
class Record:
    """One record: its leads at ``fs_hz``, all of one length."""

    record_id: str
    fs_hz: float
    leads: list[Lead]


@dataclass(frozen=True)
class Header:
    """What a WFDB header says.

    Attributes
    ----------
    stem : str
        Path of the record inside the archive, without extension.
    fs_hz : float
        Sampling rate of the signals.
    n_samples : int
        Samples of each lead.
    lead_names : list of str
        In the order of the signals, spelled as in the archive.
    """

    stem: str
    fs_hz: float
    n_samples: int
    lead_names: list[str]


def load_layout(layout: str) -> ModuleType:
    """Import the loader of a layout.

    Raises
    ------
    ConfigError
        If there is no such layout.
    """
    if layout not in LAYOUTS:
        raise ConfigError(f"unknown layout {layout!r}; allowed are {', '.join(LAYOUTS)}")
    return importlib.import_module(f"openecg.datasets.{layout}")


def read_csv(archive: Archive, member: str, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read some columns of a CSV file with a heading line.

    Returns
    -------
    list of dict
        One for each row, with the cells as they are, line ends included.

    Raises
    ------
    DataError
        If a column is missing or a row has fewer cells.
    """
    where = f"{archive.path}: {member}"
    reader = csv.DictReader(io.StringIO(archive.read_text(member), newline=""), strict=True)
    try:
        heading = reader.fieldnames or []
        missing = [name for name in columns if name not in heading]
        if missing:
            raise DataError(
                f"{where}: no column {', '.join(missing)}; found {', '.join(heading)[:200]}"
            )
        rows = []
        for row in reader:
            short = [name for name in columns if row[name] is None]
            if short:
                raise DataError(f"{where}, line {reader.line_num}: no cell for {', '.join(short)}")
            rows.append({name: row[name] for name in columns})
    except csv.Error as error:
        raise DataError(f"{where}, line {reader.reader.line_num}: {error}") from error
    return rows


def check_unique(archive: Archive, member: str, record_ids: Sequence[str]) -> None:
    """Raise DataError if a list of records is empty, or names one twice or by what is no name."""
    if not record_ids:
        raise DataError(f"{archive.path}: {member} lists no records")
    seen = set()
    for record_id in record_ids:
        if not (record_id.isprintable() and 0 < len(record_id) <= MAX_RECORD_ID):
            raise DataError(
                f"{archive.path}: {member} lists record {record_id[:40]!r}; allowed are names of "
                f"1 to {MAX_RECORD_ID} printable characters"
            )
        if record_id in seen:
            raise DataError(f"{archive.path}: {member} lists record {record_id} twice")
        seen.add(record_id)


def read_header(archive: Archive, stem: str) -> Header:
    """Read the WFDB header of a record.

    Raises
    ------
    DataError
        If it is missing or damaged, has no signals, or a rate outside ``FS_HZ``.
    """
    text = archive.read(f"{stem}.hea").decode("ascii", "ignore")
    longest = max((len(line) for line in text.splitlines() if not line.startswith("#")), default=0)
    if len(text) > MAX_HEADER_BYTES or longest > MAX_LINE:
        raise DataError(
            f"{archive.path}: member {stem}.hea has {len(text)} characters, {longest} in a line; "
            f"allowed are {MAX_HEADER_BYTES}, {MAX_LINE} in a line"
        )
    header = _call_wfdb(archive, stem, [f"{stem}.hea"], wfdb.rdheader)
    where = f"{archive.path}: record {stem}"
    if not isinstance(header, wfdb.Record):
        raise DataError(f"{where}: the header lists segments; allowed is a record of one piece")
    if not header.n_sig or len(header.file_name or []) != header.n_sig:
        raise DataError(
            f"{where}: the header says {header.n_sig} signals, "
            f"but describes {len(header.file_name or [])}"
        )
    if not header.sig_len or header.sig_len < 0:
        raise DataError(f"{where}: the header says {header.sig_len} samples; at least 1 is needed")
    if not FS_HZ[0] <= header.fs <= FS_HZ[1]:
        raise DataError(
            f"{where}: the header says {header.fs:g} Hz; allowed are {FS_HZ[0]} to {FS_HZ[1]} Hz"
        )
    names = [name or "" for name in header.sig_name]
    if len(set(map(standard_name, names))) != len(names) or "" in names:
        raise DataError(f"{where}: leads must have names of their own, found {', '.join(names)}")
    return Header(stem, float(header.fs), int(header.sig_len), names)


def read_signals(archive: Archive, header: Header) -> npt.NDArray[np.float32]:
    """Read the signals of a record in mV.

    Returns
    -------
    ndarray of shape (n_leads, n_samples), dtype float32
        In the order of ``header.lead_names``.

    Raises
    ------
    DataError
        If the signal file and the header disagree in length, the unit is no voltage, or a lead
        holds samples marked as invalid or one value only. A lead that is saturated for most of its
        length (``SATURATED``) is warned of.
    """
    stem = header.stem
    where = f"{archive.path}: record {stem}"
    dat = f"{stem}.dat"

    def read(base: str) -> Any:
        described = wfdb.rdheader(base)
        files = sorted(set(described.file_name))
        if files != [Path(dat).name]:
            raise DataError(
                f"{where}: signals must lie in {Path(dat).name}, the header says {', '.join(files)}"
            )
        formats = set(described.fmt)
        if not formats <= set(BITS_PER_SAMPLE):
            raise DataError(
                f"{where}: signal format {', '.join(sorted(formats))}; "
                f"allowed are {', '.join(BITS_PER_SAMPLE)}"
            )
        for name, per_frame, skew, offset in zip(
            header.lead_names,
            described.samps_per_frame,
            described.skew,
            described.byte_offset,
            strict=True,
        ):
            if per_frame != 1 or skew or offset:
                raise DataError(
                    f"{where}: lead {name} has {per_frame} samples per frame, skew {skew or 0}, "
                    f"byte offset {offset or 0}; allowed are 1, 0 and 0"
                )
        bits = header.n_samples * sum(BITS_PER_SAMPLE[fmt] for fmt in described.fmt)
        found = Path(f"{base}.dat").stat().st_size
        if found != -(-bits // 8):
            raise DataError(
                f"{where}: {dat} holds {found} bytes, but the header says {described.n_sig} leads "
                f"of {header.n_samples} samples, which is {-(-bits // 8)} bytes"
            )
        return wfdb.rdrecord(base)

    record = _call_wfdb(archive, stem, [f"{stem}.hea", dat], read)
    for name, unit in zip(header.lead_names, record.units, strict=True):
        if unit not in MV_PER_UNIT:
            raise DataError(
                f"{where}: lead {name} is in {unit!r}; allowed are {', '.join(MV_PER_UNIT)}"
            )
    scale = np.array([MV_PER_UNIT[unit] for unit in record.units])
    signals: npt.NDArray[np.float32] = np.ascontiguousarray((record.p_signal * scale).T, np.float32)
    for name, signal in zip(header.lead_names, signals, strict=True):
        invalid = int(np.count_nonzero(~np.isfinite(signal)))
        if invalid:
            raise DataError(f"{where}: lead {name} has {invalid} invalid samples; none is allowed")
        if signal.min() == signal.max():
            raise DataError(f"{where}: lead {name} is flat, all samples are {signal[0]:g} mV")
        for end in (signal.min(), signal.max()):
            share = np.count_nonzero(signal == end) / signal.size
            if share > SATURATED:
                log.warning(
                    "%s: lead %s is saturated, %.0f %% of its samples are %g mV",
                    where,
                    name,
                    100 * share,
                    end,
                )
    return signals


def read_marks(
    archive: Archive, header: Header, extension: str, *, allowed: Collection[str]
) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Read an annotation file of a record.

    Parameters
    ----------
    archive : Archive
        The data set.
    header : Header
        The record.
    extension : str
        Which annotation file.
    allowed : collection of str
        Annotation symbols that may occur.

    Returns
    -------
    samples : ndarray of shape (n_marks,), dtype int64
        Positions in ascending order.
    symbols : list of str
        WFDB annotation symbols.

    Raises
    ------
    DataError
        If the file is damaged or for another rate, a symbol is not allowed, or the marks are out
        of order or outside the record. A file without marks is warned of.
    """
    member = f"{header.stem}.{extension}"
    where = f"{archive.path}: member {member}"
    content = archive.read(member)
    try:
        marks = parse_annotation(content)
    except ValueError as error:
        raise DataError(f"{where} is no WFDB annotation file: {error}") from error
    if marks.fs_hz is not None and marks.fs_hz != header.fs_hz:
        raise DataError(
            f"{where} is at {marks.fs_hz:g} Hz, but the record is at {header.fs_hz:g} Hz"
        )
    samples, symbols = marks.samples, marks.symbols
    for sample, symbol in zip(samples, symbols, strict=True):
        if symbol not in allowed:
            raise DataError(
                f"{where}: unknown annotation symbol {symbol!r} at sample {sample}; "
                f"allowed are {' '.join(sorted(allowed))}"
            )
        if not 0 <= sample < header.n_samples:
            raise DataError(
                f"{where}: mark {symbol!r} at sample {sample} lies outside the record, "
                f"which has {header.n_samples} samples"
            )
    back = np.flatnonzero(np.diff(samples) < 0)
    if back.size:
        raise DataError(
            f"{where}: marks must be in time order, but sample {samples[back[0] + 1]} "
            f"follows sample {samples[back[0]]}"
        )
    if not symbols:
        log.warning("%s holds no mark", where)
    return samples, symbols


def read_waves(
    archive: Archive, header: Header, extension: str, *, allowed: Collection[str]
) -> Waves:
    """Read an annotation file of a record and pair its marks; see `read_marks`, `pair_marks`."""
    samples, symbols = read_marks(archive, header, extension, allowed=allowed)
    try:
        return pair_marks(samples, symbols)
    except ValueError as error:
        raise DataError(f"{archive.path}: member {header.stem}.{extension}: {error}") from error


def standard_name(name: str) -> str:
    """Spell a lead as in ``LEADS``, if it is one of them in other case or after the word lead."""
    return SPELLING.get(LEAD_WORD.sub("", name.lower()), name)


def standard_order(archive: Archive, header: Header) -> list[int]:
    """Say where each of the twelve ``LEADS`` stands among the leads of a record.

    Names may be spelled in any way that `standard_name` knows.

    Raises
    ------
    DataError
        If a lead is missing, or there is one that is none of the twelve, or twice the same.
    """
    where = f"{archive.path}: record {header.stem}"
    found = [standard_name(name) for name in header.lead_names]
    missing = [name for name in LEADS if name not in found]
    if missing:
        raise DataError(f"{where}: no lead {', '.join(missing)}; found {', '.join(found)}")
    if len(found) != len(LEADS):
        raise DataError(f"{where}: more than the leads {', '.join(LEADS)}: {', '.join(found)}")
    return [found.index(name) for name in LEADS]


def _call_wfdb(archive: Archive, stem: str, members: list[str], read: Callable[[str], Any]) -> Any:
    """Let wfdb read files of one record, which are unpacked for the moment.

    wfdb reads from disk only. What it raises on damaged files is of every kind, so all of it
    becomes a DataError.
    """
    contents = [archive.read(member) for member in members]
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / Path(stem).name
        for member, content in zip(members, contents, strict=True):
            base.with_name(Path(member).name).write_bytes(content)
        try:
            return read(str(base))
        except DataError:
            raise
        except Exception as error:
            raise DataError(
                f"{archive.path}: record {stem}: {', '.join(Path(m).name for m in members)} "
                f"cannot be read as WFDB: {type(error).__name__}: {error}"
            ) from error
