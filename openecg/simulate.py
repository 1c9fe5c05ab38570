"""Write made-up recordings as a zip in the layout of a published data set."""

import csv
import hashlib
import io
import logging
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
import numpy.typing as npt

from openecg.errors import ConfigError
from openecg.files import written_aside
from openecg.leads import LEADS
from openecg.simulation import Ints, Kind, Strip, choose_kinds, simulate_strip
from openecg.waves import NOT_MARKED, QRS, P, T, Waves

log = logging.getLogger(__name__)

TOP_FOLDERS = {
    "ludb": "lobachevsky-university-electrocardiography-database-1.0.1",
    "qtdb": "qt-database-1.0.0",
    "isp": "isp_delineation_dataset",
}
README = (
    "Simulated recordings, made by the openecg pipeline. No part of them comes from a person.\n"
    "Only names and layout of the files follow the published data set.\n"
)
COMMENT = "#Simulated by the openecg pipeline, not a person."

SUMS = "SHA256SUMS.txt"
SUMMED = ("ludb", "qtdb")  # layouts with it
FIRST_DATE = (1980, 1, 1, 0, 0, 0)
CHUNK_BYTES = 2**24
_ROW = struct.Struct("<HLQQQ")  # of a list of members: length of the name, CRC, sizes, offset

# WFDB annotation codes: WFDB Programmer's Guide, <wfdb/ecgcodes.h>.
ANNOTATION_CODES = {"N": 1, "V": 5, "/": 12, "p": 24, "t": 27, "(": 39, ")": 40}
SKIP, NUM, CHN = 59, 60, 62

LUDB_COLUMNS = [
    "ID",
    "Sex",
    "Age",
    "Rhythms",
    "Electric axis of the heart",
    "Conduction abnormalities",
    "Extrasystolies",
    "Hypertrophies",
    "Cardiac pacing",
    "Ischemia",
    "Non-specific repolarization abnormalities",
    "Other states",
]
# Half of the leads of LUDB have their first mark before 1.32 s and their last one in the last
# 1.35 s; 93 % begin with a QRS complex and 93 % end with one.
UNMARKED_EDGE_S = 0.95
OTHER_FIRST_WAVE = 0.065
# 131 of 58423 waves lack their onset, 29 their offset.
LACKS_ON, LACKS_OFF = 131 / 58423, 29 / 58423

# Lead names that occur in QTDB, and the simulated lead that is behind each.
QTDB_LEADS = (
    ("MLII", "V5"),
    ("ECG1", "ECG2"),
    ("D3", "V4"),
    ("MLII", "V1"),
    ("CM5", "CC5"),
    ("V5", "V2"),
)
BEHIND = {"MLII": "II", "ECG1": "II", "ECG2": "V5", "D3": "III", "CM5": "V5", "CC5": "V6"}
QTDB_SAMPLES = (225000, 224999, 224993)
# In QTDB 54 records have no T onset, 43 have all and 8 have some.
T_ONSET_SHARE = (1.0, 0.0, 0.2, 0.0, 1.0, 0.0, 1.0, 0.0)
QTDB_MARKED_BEATS = 30
ISP_UNIT, ISP_UNITS_PER_MV = "mkv", 1000


@dataclass(frozen=True)
class Simulated:
    """A made-up record and what its annotators wrote.

    Attributes
    ----------
    record_id : str
        Name of its files; ISP names repeat between train and test.
    split : str
        ``train`` or ``test`` in ISP, else empty.
    strip : Strip
        The recording and all its waves.
    marks : dict of str to Waves
        By annotation file: ``i`` to ``v6`` in LUDB; ``q1c``, ``pu0``, ``pu1`` in QTDB; ``target``
        in ISP.
    """

    record_id: str
    split: str
    strip: Strip
    marks: dict[str, Waves]


def simulate(*, layout: str, records: int, seed: int, archive: Path) -> None:
    """Write a zip of made-up recordings.

    Parameters
    ----------
    layout : str
        ``ludb``, ``qtdb`` or ``isp``.
    records : int
        At least 2; from 16 on every kind of rhythm occurs.
    seed : int
        Equal seeds give equal bytes.
    archive : Path
        The zip to write.

    Raises
    ------
    ConfigError
        If there is no such layout, or ``records`` or ``seed`` is too small.
    """
    if layout not in TOP_FOLDERS:
        raise ConfigError(f"layout: found {layout!r}; allowed are {', '.join(sorted(TOP_FOLDERS))}")
    if records < 2:
        raise ConfigError(f"records: found {records}; allowed are 2 and more")
    if seed < 0:
        raise ConfigError(f"seed: found {seed}; allowed are 0 and more")
    made = simulated_records(layout, records=records, seed=seed)
    pack = {"ludb": _pack_ludb, "qtdb": _pack_qtdb, "isp": _pack_isp}[layout]
    archive.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(archive) as aside, Spool(archive.parent) as spool:
        for members in pack(made):
            spool.add(members)
        if layout in SUMMED:
            spool.add_sums()
        with (
            spool.file() as rows,
            zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as zipped,
        ):
            listed = _Directory(rows)
            zipped.filelist = listed  # type: ignore[assignment]
            for name, size, content in spool.members():
                info = _info(f"{TOP_FOLDERS[layout]}/{name}")
                info.file_size = size
                with zipped.open(info, "w") as member:
                    shutil.copyfileobj(content, member, CHUNK_BYTES)
                zipped.NameToInfo.clear()
    log.info("%s: %d made-up %s records in %d files", archive, records, layout, len(listed))


class Spool:
    """Members of an archive on their way to it, which come in any order; a context manager.

    They lie in a temporary folder, those that come together as one file, for an archive may be
    larger than the memory. Members of one group, such as the files of a record, are neighbours in
    the order of all names.

    Parameters
    ----------
    folder : Path
        Where to make the temporary folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(".part", ".simulate.", folder)
        self._groups: list[str] = []  # by the first name of each

    def __enter__(self) -> Self:
        """Return the empty spool."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the temporary folder."""
        self._folder.cleanup()

    def add(self, members: dict[str, bytes]) -> None:
        """Put in members that belong together."""
        first = min(members)
        with zipfile.ZipFile(self._path(first), "w") as group:
            for name in sorted(members):
                group.writestr(zipfile.ZipInfo(name, FIRST_DATE), members[name])
        self._groups.append(first)

    def add_sums(self) -> None:
        """Put in the check sums of all members so far, in the layout of PhysioNet."""
        with (
            zipfile.ZipFile(self._path(SUMS), "w") as group,
            group.open(zipfile.ZipInfo(SUMS, FIRST_DATE), "w") as sums,
        ):
            for name, _, content in self.members():
                sums.write(f"{hashlib.sha256(content.read()).hexdigest()} {name}\n".encode())
        self._groups.append(SUMS)

    def members(self) -> Iterator[tuple[str, int, IO[bytes]]]:
        """Give names, sizes and contents, open for reading, in the order of the names."""
        for first in sorted(self._groups):
            with zipfile.ZipFile(self._path(first)) as group:
                for info in group.infolist():
                    with group.open(info) as content:
                        yield info.filename, info.file_size, content

    def file(self) -> IO[bytes]:
        """Open a file beside the members, to write and read, that goes when it is closed."""
        return tempfile.TemporaryFile(dir=self._folder.name)

    def _path(self, first: str) -> Path:
        return Path(self._folder.name, first.replace("/", "+"))


def _info(name: str) -> zipfile.ZipInfo:
    """Describe a member of an archive before it has content."""
    info = zipfile.ZipInfo(name, FIRST_DATE)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    return info


class _Directory:
    """The list of members that `zipfile` keeps until the end, in a file."""

    def __init__(self, rows: IO[bytes]) -> None:
        self._rows = rows
        self._n = 0

    def __len__(self) -> int:
        return self._n

    def append(self, info: zipfile.ZipInfo) -> None:
        name = info.filename.encode()
        numbers = (info.CRC, info.compress_size, info.file_size, info.header_offset)
        self._rows.write(_ROW.pack(len(name), *numbers) + name)
        self._n += 1

    def __iter__(self) -> Iterator[zipfile.ZipInfo]:
        self._rows.seek(0)
        for _ in range(self._n):
            length, crc, compressed, size, offset = _ROW.unpack(self._rows.read(_ROW.size))
            info = _info(self._rows.read(length).decode())
            info.CRC, info.compress_size, info.file_size = crc, compressed, size
            info.header_offset = offset
            yield info


def simulated_records(layout: str, *, records: int, seed: int) -> Iterator[Simulated]:
    """Make the records of an archive one by one, with the truth about each.

    Parameters
    ----------
    layout : str
        ``ludb``, ``qtdb`` or ``isp``.
    records, seed : int
        As in `simulate`.

    Yields
    ------
    Simulated
        In the order of the archive.
    """
    number = sorted(TOP_FOLDERS).index(layout)
    make = {"ludb": _ludb_record, "qtdb": _qtdb_record, "isp": _isp_record}[layout]
    kinds = choose_kinds(records, np.random.default_rng([seed, number]))
    for i, kind in enumerate(kinds):
        yield make(i, records, kind, np.random.default_rng([seed, number, i]))


def _ludb_record(i: int, records: int, kind: Kind, rng: np.random.Generator) -> Simulated:
    strip = simulate_strip(kind, leads=LEADS, fs_hz=500.0, n_samples=5000, scatter=True, rng=rng)
    is_qrs = strip.wave_kind == QRS
    edge = UNMARKED_EDGE_S * strip.fs_hz
    inside = (strip.on.min(axis=0) >= edge) & (strip.off.max(axis=0) < 5000 - edge)
    first, *_, last = np.flatnonzero(is_qrs & inside)
    marks = {}
    for row, lead in enumerate(LEADS):
        chance = rng.random(2) < OTHER_FIRST_WAVE
        start = first - int(chance[0] and strip.wave_kind[first - 1] == P)
        stop = last + 1 + int(chance[1] and strip.wave_kind[last + 1] == T)
        waves = _waves_of(strip, row, np.arange(start, stop))
        n = len(waves.kind)
        marks[lead.lower()] = Waves(
            waves.kind,
            np.where(rng.random(n) < LACKS_ON, NOT_MARKED, waves.on),
            waves.peak,
            np.where(rng.random(n) < LACKS_OFF, NOT_MARKED, waves.off),
        )
    return Simulated(str(i + 1), "", strip, marks)


def _qtdb_record(i: int, records: int, kind: Kind, rng: np.random.Generator) -> Simulated:
    names = QTDB_LEADS[i % len(QTDB_LEADS)]
    strip = simulate_strip(
        kind,
        leads=tuple(BEHIND.get(name, name) for name in names),
        fs_hz=250.0,
        n_samples=QTDB_SAMPLES[i % len(QTDB_SAMPLES)],
        scatter=True,
        rng=rng,
    )
    # The expert begins at 10 min; in every fourth record also at 5 min, half of the beats each.
    starts_s = (300.0, 600.0) if i % 4 == 3 else (600.0,)
    beats = np.flatnonzero(strip.wave_kind == QRS)
    chosen = []
    for start_s in starts_s:
        begin = np.searchsorted(strip.on[0, beats], start_s * strip.fs_hz)
        end = begin + QTDB_MARKED_BEATS // len(starts_s)
        start = beats[begin] - int(strip.wave_kind[beats[begin] - 1] == P)
        chosen.append(np.arange(start, beats[end] - int(strip.wave_kind[beats[end] - 1] == P)))
    which = np.concatenate(chosen)
    kinds = strip.wave_kind[which]
    unmarked = (kinds == T) & (rng.random(len(which)) >= T_ONSET_SHARE[i % len(T_ONSET_SHARE)])
    expert = Waves(
        kinds,
        np.where(unmarked, NOT_MARKED, strip.on.min(axis=0)[which]),
        strip.peak[0, which],
        strip.off.max(axis=0)[which],
    )
    automatic = {f"pu{row}": _automatic(strip, row, rng) for row in range(len(names))}
    return Simulated(f"sel{101 + i}", "", strip, {"q1c": expert, **automatic})


def _automatic(strip: Strip, row: int, rng: np.random.Generator) -> Waves:
    """Mark nearly every wave of a lead, some samples off, as a program would."""
    inner = np.arange(1, len(strip.wave_kind) - 1)
    missed = np.where(strip.wave_kind[inner] == P, 0.05, 0.0)
    waves = _waves_of(strip, row, inner[rng.random(len(inner)) >= missed])
    marks = waves.marks.ravel()
    marks = marks + np.rint(rng.normal(0.0, 0.008 * strip.fs_hz, len(marks))).astype(np.int64)
    steps = np.arange(len(marks))
    on, peak, off = (np.maximum.accumulate(marks - steps) + steps).reshape(-1, 3).T
    lost = (waves.kind == T) & (rng.random(len(on)) < 0.01)
    return Waves(waves.kind, np.where(lost, NOT_MARKED, on), peak, off)


def _isp_record(i: int, records: int, kind: Kind, rng: np.random.Generator) -> Simulated:
    # 72 of the 475 published records are for testing.
    train = records - max(1, round(records * 72 / 475))
    strip = simulate_strip(
        kind,
        leads=LEADS,
        fs_hz=1000.0,
        n_samples=int(rng.integers(9998, 10000)),
        scatter=False,
        rng=rng,
    )
    everything = np.arange(len(strip.wave_kind))
    waves = _waves_of(strip, 0, everything)
    target = Waves(waves.kind, waves.on, np.full_like(waves.peak, NOT_MARKED), waves.off)
    split, number = ("train", i) if i < train else ("test", i - train)
    return Simulated(str(number + 1), split, strip, {"target": target})


def _waves_of(strip: Strip, row: int, which: Ints) -> Waves:
    return Waves(
        strip.wave_kind[which], strip.on[row, which], strip.peak[row, which], strip.off[row, which]
    )


Members = dict[str, bytes]


def _pack_ludb(made: Iterator[Simulated]) -> Iterator[Members]:
    """Give the files of the records, and those about all of them, by name."""
    table = _Csv(LUDB_COLUMNS)
    names: list[str] = []
    for i, record in enumerate(made):
        strip, name = record.strip, record.record_id
        sex, age = "MF"[i % 5 // 3], str(20 + 7 * i % 60)
        cells = [
            name,
            f"{sex}\n",
            f"{age}\n",
            strip.kind.rhythm,
            f"Electric axis of the heart: {_axis(strip.axis_deg)}",
            strip.kind.conduction,
            strip.kind.extrasystole,
            "Left atrial hypertrophy\nLeft ventricular hypertrophy" if i % 3 == 0 else "",
            strip.kind.pacing,
            "",
            "",
            "",
        ]
        table.add(cells)
        names.append(f"data/{name}")
        gains = 1000 + (37 * i + 101 * np.arange(len(LEADS))) % 1300
        offsets = np.arange(len(LEADS)) - 6
        digital = np.rint(strip.signal * gains[:, None]).astype(np.int64) + offsets[:, None]
        lines = [f"{name} 12 500 {strip.signal.shape[1]}"]
        for row, lead in enumerate(LEADS):
            lines.append(
                f"{name}.dat 16 {gains[row]}({offsets[row]})/mV 0 0 "
                f"{digital[row, 0]} {_checksum(digital[row])} 0 {lead.lower()}"
            )
        findings = [f"Rhythm: {strip.kind.rhythm}", *cells[4:9]]
        sentences = [line for cell in findings for line in cell.split("\n") if line]
        lines += [f"#<age>: {age}", f"#<sex>: {sex}", "#<diagnoses>:"]
        lines += [f"#{sentence}. " for sentence in sentences]
        files = {
            f"data/{name}.hea": _lines([*lines, COMMENT]),
            f"data/{name}.dat": digital.T.astype("<i2").tobytes(),
        }
        for extension, waves in record.marks.items():
            files[f"data/{name}.{extension}"] = encode_marks(*_mark_sequence(waves))
        yield files
    annotators = [f"{lead.lower()}\tboundaries and peaks on lead {lead.lower()}" for lead in LEADS]
    yield {"README": README.encode()}
    yield {"ludb.csv": table.content()}
    yield {"RECORDS": _lines(names)}
    yield {"ANNOTATORS": _lines(annotators)}


def _pack_qtdb(made: Iterator[Simulated]) -> Iterator[Members]:
    """Give the files of the records, and those about all of them, by name."""
    annotators = [
        "atr\treference beat annotations",
        "q1c\tboundaries of some beats (both signals)",
        "pu0\tboundaries of all beats, with errors (signal 0)",
        "pu1\tboundaries of all beats, with errors (signal 1)",
    ]
    names = []
    for i, record in enumerate(made):
        strip, name = record.strip, record.record_id
        # The three ways in which QTDB writes 200 units per mV. The first leaves an offset of
        # 5.12 mV in the signal; gain 0 of the second stands for the default.
        rate, gain, offset, end = (
            ("250/360", "200(0) 11 1024", 1024, "\r\n"),
            ("250/128", "0 12 0", 0, "\n"),
            ("250", "200 12 0", 0, "\n"),
        )[i % 3]
        digital = np.rint(strip.signal * 200).astype(np.int64) + offset
        digital = np.clip(digital, -2048, 2047)
        lines = [f"{name} 2 {rate} {digital.shape[1]}"]
        for row, lead in enumerate(QTDB_LEADS[i % len(QTDB_LEADS)]):
            lines.append(
                f"{name}.dat 212 {gain} {digital[row, 0]} {_checksum(digital[row])} 0 {lead}"
            )
        names.append(name)
        is_qrs = strip.wave_kind == QRS
        beats = [beat for beat, wanted in zip(strip.beat, is_qrs, strict=True) if wanted]
        files = {
            f"{name}.hea": _lines([*lines, COMMENT], end),
            f"{name}.dat": encode_212(digital),
            f"{name}.atr": encode_marks(strip.peak[0, is_qrs], beats),
        }
        for extension, waves in record.marks.items():
            samples, symbols = _mark_sequence(waves)
            files[f"{name}.{extension}"] = encode_marks(
                samples, symbols, numbers=_qtdb_numbers(symbols), channel=int(extension == "pu1")
            )
        yield files
    yield {"README": README.encode()}
    yield {"ANNOTATORS": _lines(annotators)}
    yield {"RECORDS": _lines(names)}


def _pack_isp(made: Iterator[Simulated]) -> Iterator[Members]:
    """Give the files of the records, and those about all of them, by name."""
    tables = {split: _Csv(["file_name", "age", "sex", "target"]) for split in ("train", "test")}
    class_of = {P: 0, QRS: 1, T: 2}
    for record in made:
        split, name = record.split, record.record_id
        waves = record.marks["target"]
        target = [
            (class_of[int(kind)], int(on), int(off))
            for kind, on, off in zip(waves.kind, waves.on, waves.off, strict=True)
        ]
        number = int(name)
        tables[split].add([name, str(20 + number * 7 % 60), str(number % 2), str(target)])
        digital = np.rint(record.strip.signal * ISP_UNITS_PER_MV).astype(np.int64)
        lines = [f"{name} 12 1000 {digital.shape[1]}"]
        for row, lead in enumerate(LEADS):
            lines.append(
                f"{name}.dat 16 1(0)/{ISP_UNIT} 16 0 "
                f"{digital[row, 0]} {_checksum(digital[row])} 0 {lead}"
            )
        yield {
            f"{split}_data/{name}.hea": _lines([*lines, COMMENT]),
            f"{split}_data/{name}.dat": digital.T.astype("<i2").tobytes(),
        }
    yield {"README": README.encode()}
    for split, table in tables.items():
        yield {f"{split}_isp_delineation_data.csv": table.content()}


def _axis(degrees: float) -> str:
    """Name an electric axis as the LUDB table does."""
    for limit, name in (
        (0, "left axis deviation"),
        (30, "horizontal"),
        (70, "normal"),
        (90, "vertical"),
    ):
        if degrees < limit:
            return name
    return "right axis deviation"


def _mark_sequence(waves: Waves) -> tuple[Ints, list[str]]:
    """List the marks of waves in the order of an annotation file."""
    letter = {P: "p", QRS: "N", T: "t"}
    samples, symbols = [], []
    for kind, marks in zip(waves.kind, waves.marks, strict=True):
        for sample, symbol in zip(marks, ("(", letter[int(kind)], ")"), strict=True):
            if sample != NOT_MARKED:
                samples.append(int(sample))
                symbols.append(symbol)
    return np.array(samples, np.int64), symbols


def _qtdb_numbers(symbols: Sequence[str]) -> list[int]:
    """Tell the wave of each bracket as QTDB does in ``num``: 0 for P, 1 for QRS, 2 for T."""
    number = {"p": 0, "N": 1, "t": 2}
    numbers = []
    for i, symbol in enumerate(symbols):
        if symbol == "(":
            numbers.append(number[symbols[i + 1]])
        else:
            numbers.append(number[symbols[i - 1]] if symbol == ")" else 0)
    return numbers


def encode_marks(
    samples: Ints, symbols: Sequence[str], *, numbers: Sequence[int] = (), channel: int = 0
) -> bytes:
    """Encode marks as a WFDB annotation file of MIT format.

    Parameters
    ----------
    samples : ndarray of shape (n_marks,), dtype int64
        Positions in ascending order.
    symbols : sequence of str
        Keys of ``ANNOTATION_CODES``.
    numbers : sequence of int
        The field ``num`` of each mark; all 0 if empty.
    channel : int
        The field ``chan`` of all marks.

    Returns
    -------
    bytes
        See annot(5) of the WFDB Applications Guide. As in the published data sets, the
        sampling rate is not written.
    """
    words: list[int] = []
    before = number_before = 0
    for i, (sample, symbol) in enumerate(zip(samples.tolist(), symbols, strict=True)):
        step, before = sample - before, sample
        if step >= 1 << 10:  # too far for ten bits: a skip with the high half first
            words += [SKIP << 10, step >> 16, step & 0xFFFF]
            step = 0
        words.append(ANNOTATION_CODES[symbol] << 10 | step)
        number = numbers[i] if numbers else 0
        if number != number_before:
            words.append(NUM << 10 | number)
            number_before = number
        if i == 0 and channel:
            words.append(CHN << 10 | channel)
    return np.array([*words, 0], "<u2").tobytes()


def encode_212(digital: Ints) -> bytes:
    """Pack two signals, shape (2, n_samples), in WFDB format 212: 12 bits per sample."""
    one, two = digital & 0xFFF
    packed = np.stack([one & 0xFF, one >> 8 | (two >> 8) << 4, two & 0xFF], axis=1)
    return packed.astype(np.uint8).tobytes()


def _checksum(digital: npt.NDArray[np.int64]) -> int:
    """Sum of the samples as a signed number of 16 bits: header(5)."""
    return (int(digital.sum()) + 0x8000) % 0x10000 - 0x8000


class _Csv:
    """A table on its way to a file, row by row."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._text = io.StringIO()
        self._writer = csv.writer(self._text, lineterminator="\n")
        self.add(columns)

    def add(self, row: Sequence[str]) -> None:
        self._writer.writerow(row)

    def content(self) -> bytes:
        return self._text.getvalue().encode()


def _lines(lines: Sequence[str], end: str = "\n") -> bytes:
    return "".join(line + end for line in lines).encode()
