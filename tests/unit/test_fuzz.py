"""Mutated zips, WFDB files and CSV files are read or refused in one line, and never hang.

``nice pytest tests/unit/test_fuzz.py --hypothesis-profile=long`` searches for ten minutes or more.
"""

import hashlib
import io
import signal
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FrameType

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from openecg.datasets.base import FS_HZ
from openecg.errors import LONGEST, ConfigError, DataError
from openecg.index import index_records
from openecg.records import read_records
from openecg.shards import write_shard
from openecg.waves import IGNORE, KINDS, OTHER, Waves
from tests.unit.tiny_zips import CSV_HEAD, LUDB_ROWS, TARGET, TOP, members, write_zip

LIMIT_S = 20  # of one example, on a busy machine; all take milliseconds
fuzz = settings(deadline=None, derandomize=settings.get_current_profile_name() != "long")


class Hang(BaseException):
    """A step did not come back."""


@dataclass(frozen=True)
class Bench:
    """A folder with the indices of the sound zips, where steps run."""

    folder: Path

    def index(self, archive: Path, layout: str, index: Path) -> None:
        """List the records of a zip."""
        index_records(
            archive=archive,
            dataset=layout,
            layout=layout,
            parts=1,
            split="published" if layout == "isp" else "record",
            held_out="test",
            fraction=0,
            seed=0,
            sha256="",
            index=index,
        )

    def try_zip(self, content: bytes, layout: str) -> None:
        """Read a zip with its own index and with the one of the sound zip."""
        archive = self.folder / "x.zip"
        archive.write_bytes(content)
        own = self.folder / "own"
        self.try_step(own, lambda: self.index(archive, layout, own))
        self.try_records(archive, layout)

    def try_records(self, archive: Path, layout: str) -> None:
        """Read a zip with the index of the sound zip, and cut its windows."""
        index, records, shard = (self.folder / name for name in (layout, "records", "shard"))
        if self.try_step(
            records,
            lambda: read_records(
                archive=archive, index=index, layout=layout, part=0, records=records
            ),
        ):
            check_records(records)
            if self.try_step(
                shard,
                lambda: write_shard(
                    records=records,
                    shard=shard,
                    fs_hz=250,
                    frame_ms=20,
                    window_s=1,
                    windows='{"rule": "cover"}',
                ),
            ):
                check_shard(shard)

    def try_step(self, output: Path, step: Callable[[], None]) -> bool:
        """Run a step; tell whether it wrote its output, and expect one line if it did not."""
        output.unlink(missing_ok=True)
        before = set(self.folder.iterdir())
        said = ""
        try:
            with no_hang():
                step()
        except (DataError, ConfigError) as error:
            said = str(error)
        assert said.isprintable()
        assert len(said) <= LONGEST + len(" ... ")
        assert set(self.folder.iterdir()) - before == (set() if said else {output})
        return not said


def check_records(path: Path) -> None:
    for row in pq.read_table(path).to_pylist():
        assert np.isfinite(row["signal"]).all()
        assert FS_HZ[0] <= row["fs_hz"] <= FS_HZ[1]
        parts = (np.array(row[f"wave_{part}"], np.int64) for part in ("kind", "on", "peak", "off"))
        marks = Waves(*parts).marks  # refuses unknown kinds and marks out of order
        assert ((marks >= -1) & (marks < len(row["signal"]))).all()


def check_shard(path: Path) -> None:
    for row in pq.read_table(path).to_pylist():
        assert np.isfinite(row["signal"]).all()
        assert len(row["signal"]) == 250
        assert len(row["labels"]) == 50
        assert set(row["labels"]) <= {OTHER, *KINDS, IGNORE}


@contextmanager
def no_hang() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    made = Bench(tmp_path_factory.mktemp("fuzz"))
    for layout in SMALL:
        made.index(small_zip(made.folder, layout), layout, made.folder / layout)
    return made


def small(layout: str, keep: tuple[str, ...], lists: Mapping[str, str]) -> dict[str, bytes]:
    """Take the files of one record, and lists of it alone."""
    kept = {name: data for name, data in members(layout).items() if name.startswith(keep)}
    return kept | {name: text.encode() for name, text in lists.items()}


ISP_TABLES = {
    f"{split}_isp_delineation_data.csv": f'file_name,age,sex,target\n1,50,1,"{TARGET}"\n'
    for split in ("train", "test")
}
SMALL = {
    "ludb": small(
        "ludb", ("data/1.",), {"RECORDS": "data/1\n", "ludb.csv": CSV_HEAD + LUDB_ROWS["1"]}
    ),
    "qtdb": small("qtdb", ("sel100.",), {"RECORDS": "sel100\n"}),
    "isp": small("isp", ("train_data/1.", "test_data/1."), ISP_TABLES),
}


def small_zip(folder: Path, layout: str, changes: Mapping[str, bytes] | None = None) -> Path:
    """Write a release of one record, with sums that fit."""
    others = dict.fromkeys(members(layout))
    return write_zip(folder / "x.zip", layout, {**others, **SMALL[layout], **(changes or {})})


@cache
def plain_zip(layout: str, method: int) -> bytes:
    """Make a release of one record, with sums where it is published with them."""
    files = dict(SMALL[layout])
    if layout != "isp":
        sums = [f"{hashlib.sha256(data).hexdigest()} {name}\n" for name, data in files.items()]
        files["SHA256SUMS.txt"] = "".join(sums).encode()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as opened:
        for name, data in files.items():
            opened.writestr(f"{TOP[layout]}/{name}", data)
    return made.getvalue()


@st.composite
def mutated(draw: st.DrawFn, sound: bytes, words: tuple[bytes, ...] = ()) -> bytes:
    """Flip, delete, insert, double and splice bytes."""
    content = bytearray(sound)
    piece = st.binary(max_size=12)
    pieces = st.sampled_from(words) | piece if words else piece
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(content)))
        length = draw(st.integers(1, 40))
        how = draw(st.sampled_from(["flip", "delete", "insert", "overwrite", "double", "splice"]))
        if how == "flip":
            content[at : at + 1] = bytes(
                byte ^ draw(st.integers(1, 255)) for byte in content[at : at + 1]
            )
        elif how == "delete":
            del content[at : at + length]
        elif how == "insert":
            content[at:at] = draw(pieces)
        elif how == "overwrite":
            new = draw(pieces)
            content[at : at + len(new)] = new
        elif how == "double":
            content[at:at] = content[at : at + length]
        else:
            other = draw(st.integers(0, len(content)))
            content[at : at + length] = content[other : other + length]
    return bytes(content)


@fuzz
@given(data=st.data(), layout=st.sampled_from(["qtdb", "isp"]), deflated=st.booleans())
def test_a_mutated_zip(bench: Bench, data: st.DataObject, layout: str, deflated: bool) -> None:
    method = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    sound = plain_zip(layout, method)
    words = (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"\xff" * 8, b"../", b"\0")
    bench.try_zip(data.draw(mutated(sound, words)), layout)


@fuzz
@given(data=st.data())
def test_a_mutated_directory_of_a_zip(bench: Bench, data: st.DataObject) -> None:
    sound = plain_zip("qtdb", zipfile.ZIP_DEFLATED)
    start = sound.index(b"PK\x01\x02")
    bench.try_zip(sound[:start] + data.draw(mutated(sound[start:], (b"\xff" * 4, b"/"))), "qtdb")


MIT_WORDS = (  # symbol or kind of word << 10 | interval or value
    struct.pack("<H", 0),
    struct.pack("<3H", 59 << 10, 0xFFFF, 0xFFE0),  # 32 samples back
    struct.pack("<3H", 59 << 10, 0x7FFF, 0xFFFF),
    struct.pack("<H", 60 << 10 | 7),
    struct.pack("<H", 63 << 10 | 3),
    struct.pack("<2H", 22 << 10, 63 << 10 | 22),  # the head of a note
    *(struct.pack("<H", symbol << 10 | 9) for symbol in (1, 24, 27, 39, 40)),
    struct.pack("<H", 27 << 10 | 1023),
    *(b"## time resolution: 250", b"## annotation type definitions", b"## end of definitions"),
)


@fuzz
@given(content=mutated(SMALL["qtdb"]["sel100.q1c"], MIT_WORDS))
def test_a_mutated_annotation(bench: Bench, content: bytes) -> None:
    bench.try_records(small_zip(bench.folder, "qtdb", {"sel100.q1c": content}), "qtdb")


@fuzz
@example(words=[struct.pack("<2H", 22 << 10, 63 << 10 | 4) + b"## x"] * 2)  # wfdb hangs on it
@given(words=st.lists(st.sampled_from(MIT_WORDS) | st.binary(min_size=2, max_size=2), max_size=60))
def test_an_annotation_of_any_words(bench: Bench, words: list[bytes]) -> None:
    content = b"".join(words) + b"\0\0"
    bench.try_records(small_zip(bench.folder, "qtdb", {"sel100.q1c": content}), "qtdb")


HEADER_WORDS = (
    *(b"0", b"-1", b"99999999999999999999", b"1e9", b"nan", b".", b":", b"(", b"/", b"x2", b"+4"),
    *(b" ", b"\n", b"#", b"\xff", b"310", b"uV", b"lead ", b"12:00:00", b"1.dat", b"~"),
)


@fuzz
@given(content=mutated(SMALL["qtdb"]["sel100.hea"], HEADER_WORDS))
def test_a_mutated_header(bench: Bench, content: bytes) -> None:
    bench.try_records(small_zip(bench.folder, "qtdb", {"sel100.hea": content}), "qtdb")


@fuzz
@given(content=mutated(SMALL["qtdb"]["sel100.dat"]))
def test_a_mutated_signal(bench: Bench, content: bytes) -> None:
    bench.try_records(small_zip(bench.folder, "qtdb", {"sel100.dat": content}), "qtdb")


CSV_WORDS = (
    *(b'"', b'""', b",", b"\n", b"\r\n", b"\0", b"\xef\xbb\xbf", b"\xff", b"\\", b"'", b"#"),
    *(b"[", b"]", b"(", b")", b"-", b"0x", b"1e9", b"1_0", b"True", b"None", b"..", b"data/"),
    *(b"99999999999999999999", "٣".encode(), b"[" * 300, b"-" * 3000, b"9" * 5000),
)


@fuzz
@given(content=mutated(SMALL["isp"]["train_isp_delineation_data.csv"], CSV_WORDS))
def test_a_mutated_csv_of_isp(bench: Bench, content: bytes) -> None:
    changes = {"train_isp_delineation_data.csv": content}
    bench.try_zip(small_zip(bench.folder, "isp", changes).read_bytes(), "isp")


@fuzz
@given(parts=st.lists(st.sampled_from(CSV_WORDS) | st.integers(-9, 1200).map(b"%d".__mod__)))
def test_an_annotation_cell_of_any_words(bench: Bench, parts: list[bytes]) -> None:
    cell = b"[(" + b",".join(parts).replace(b'"', b"") + b")]"
    changes = {"train_isp_delineation_data.csv": b'file_name,target\n1,"' + cell + b'"\n'}
    bench.try_zip(small_zip(bench.folder, "isp", changes).read_bytes(), "isp")


@fuzz
@given(
    table=mutated(SMALL["ludb"]["ludb.csv"], CSV_WORDS),
    listed=st.just(b"data/1\n") | mutated(b"data/1\n", CSV_WORDS),
)
def test_mutated_lists_of_ludb(bench: Bench, table: bytes, listed: bytes) -> None:
    changes = {"ludb.csv": table, "RECORDS": listed}
    archive, own = small_zip(bench.folder, "ludb", changes), bench.folder / "own"
    bench.try_step(own, lambda: bench.index(archive, "ludb", own))
