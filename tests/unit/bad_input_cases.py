"""Bad input of every kind, as a table: what is wrong, the commands that meet it, what they say.

A case writes its input into ``folder / "in"``; its commands write into ``folder / "out"`` and name
their output last. `run_case` runs them as a user would.
"""

import contextlib
import hashlib
import io
import json
import logging
import os
import stat
import struct
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.torch
import torch

from openecg.__main__ import LOG_FORMAT, main
from openecg.datasets.base import LEADS as STANDARD
from openecg.stage2.checkpoint import FORMAT, KEY, Origin, load_checkpoint
from openecg.stage2.engine import build_model
from openecg.stage2.losses import CLASSES
from openecg.stage2.train import RESUME
from tests.unit.made_up_shards import setting_values, shard_rows, write_rows, write_setting_file
from tests.unit.tiny_zips import (
    CSV_HEAD,
    LEADS,
    LUDB_ROWS,
    TOP,
    backward_marks,
    marks_file,
    wfdb_files,
    write_zip,
)

ROOT = Path(__file__).parents[2]
Command = list[str]
Build = Callable[[Path], list[Command]]
Changes = Mapping[str, bytes | None]
Write = Callable[[zipfile.ZipFile], None]
Check = Callable[[Path], None]


@dataclass(frozen=True)
class Case:
    """One kind of input.

    Attributes
    ----------
    group, name : str
        Kind of file, and what is special about it.
    build : callable
        Writes the input into a folder and returns the commands.
    says : tuple of str
        What the error, or the warnings of accepted input, must say.
    accepted : callable or None
        Looks at the folder afterwards, where the input is to be accepted.
    """

    group: str
    name: str
    build: Build
    says: tuple[str, ...] = ()
    accepted: Check | None = None

    @property
    def title(self) -> str:
        """Group and name, as the id of a test."""
        return f"{self.group}: {self.name}"


@dataclass(frozen=True)
class Outcome:
    """What came of the commands of a case.

    Attributes
    ----------
    code : int
        Exit code of the last command that ran.
    log : str
        All that the commands printed.
    written : list of Path
        Outputs of those that succeeded.
    """

    code: int
    log: str
    written: list[Path]

    @property
    def errors(self) -> list[str]:
        """The lines that say what is wrong, without time and place of the code."""
        lines = self.log.splitlines()
        steps = [line.partition(" ERROR openecg: ")[2] for line in lines]
        return [*filter(None, steps), *(line for line in lines if line.startswith("config, "))]

    @property
    def warnings(self) -> list[str]:
        """The warnings, without time and place of the code."""
        return [
            line.split(": ", 1)[1] for line in self.log.splitlines() if " WARNING openecg" in line
        ]


def run_case(case: Case, folder: Path, *, spawn: bool = False) -> Outcome:
    """Run the commands of a case until one fails; ``spawn`` gives each a process of its own."""
    (folder / "in").mkdir(parents=True)
    (folder / "out").mkdir()
    commands = case.build(folder)
    before = tree(folder / "in")
    code, log, written = 0, "", []
    for command in commands:
        spawned = spawn or command[0] == "snakemake"
        code, said = (_spawn if spawned else _call)(command)
        log += said
        if code:
            break
        written.append(Path(command[-1]))
    assert tree(folder / "in") == before, "the input was changed"
    return Outcome(code, log, written)


def tree(folder: Path) -> dict[str, str]:
    """Hash all files below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _call(command: Command) -> tuple[int, str]:
    """Run a step in this process, with the log as `openecg.__main__` would print it."""
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel("INFO")
    try:
        with contextlib.redirect_stdout(said):
            return main(command), said.getvalue()
    finally:
        logging.captureWarnings(False)
        root.setLevel(level)
        root.removeHandler(handler)


def _spawn(command: Command) -> tuple[int, str]:
    """Run a step, or the workflow, in a process of its own."""
    module = ["snakemake", *command[1:]] if command[0] == "snakemake" else ["openecg", *command]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [sys.executable, "-m", *module],
        cwd=ROOT,
        env=os.environ | {"PATH": path},
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return done.returncode, done.stdout


# --- zips -------------------------------------------------------------------------------------


def read_zip(folder: Path, archive: Path, layout: str, *, window_s: int = 1) -> list[Command]:
    """List the commands that turn a zip into a shard."""
    index, records, shard = (f"{folder}/out/{name}" for name in ("index", "records", "shard"))
    zipped = ["--archive", str(archive), "--layout", layout]
    rule = "published" if layout == "isp" else "record"
    splits = ["--split", rule, "--held-out", "test", "--fraction", "0.4", "--seed", "0"]
    parts = ["--dataset", layout, "--parts", "1", "--sha256=", *splits]
    grid = ["--fs-hz", "250", "--frame-ms", "20", "--window-s", str(window_s)]
    grid += ["--windows", '{"rule": "cover"}']
    return [
        ["index-records", *zipped, *parts, "--index", index],
        ["read-records", *zipped, "--part", "0", "--index", index, "--records", records],
        ["write-shard", *grid, "--records", records, "--shard", shard],
    ]


def release(layout: str, changes: Changes | None = None, *, window_s: int = 1) -> Build:
    """Build a release of which some members are replaced or left out."""

    def build(folder: Path) -> list[Command]:
        archive = write_zip(folder / "in" / "x.zip", layout, changes)
        return read_zip(folder, archive, layout, window_s=window_s)

    return build


def spoilt(spoil: Callable[[bytes], bytes]) -> Build:
    """Build a LUDB zip of which the bytes are changed."""

    def build(folder: Path) -> list[Command]:
        archive = write_zip(folder / "in" / "x.zip", "ludb")
        archive.write_bytes(spoil(archive.read_bytes()))
        return read_zip(folder, archive, "ludb")

    return build


def with_member(write: Write) -> Build:
    """Build a LUDB zip with one more member."""

    def build(folder: Path) -> list[Command]:
        archive = write_zip(folder / "in" / "x.zip", "ludb")
        with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as opened:
            write(opened)
        return read_zip(folder, archive, "ludb")

    return build


def absent(folder: Path) -> list[Command]:
    """Build nothing at all."""
    return read_zip(folder, folder / "in" / "x.zip", "ludb")


def nested(folder: Path) -> list[Command]:
    """Build a release in a folder of a folder."""
    archive = write_zip(folder / "x.zip", "ludb")
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(folder / "in" / "x.zip", "w") as new:
        for name in old.namelist():
            new.writestr(f"download/{name}", old.read(name))
    archive.unlink()
    return read_zip(folder, folder / "in" / "x.zip", "ludb")


def flipped(content: bytes, at: int) -> bytes:
    """Flip a bit of one byte."""
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def data_of(content: bytes, name: str) -> int:
    """Find where the compressed data of a member begin."""
    path = f"{TOP['ludb']}/{name}".encode()
    return content.index(path) + len(path)


def entry_of(content: bytes, name: str) -> int:
    """Find the entry of a member in the directory, which ends with its path."""
    return content.rindex(f"{TOP['ludb']}/{name}".encode()) - 46


def claiming(size: int, content: bytes, name: str = "data/1.dat") -> bytes:
    """Change the size that the directory claims for a member."""
    at = entry_of(content, name) + 24
    return content[:at] + size.to_bytes(4, "little") + content[at + 4 :]


def bomb(folder: Path) -> list[Command]:
    """Build a zip of which a member claims 12,000 bytes, and holds 16 MiB."""
    archive = write_zip(folder / "in" / "x.zip", "ludb", {"data/1.dat": bytes(2**24)})
    archive.write_bytes(claiming(12_000, archive.read_bytes()))
    return read_zip(folder, archive, "ludb")


def link(opened: zipfile.ZipFile) -> None:
    """Add a symbolic link."""
    info = zipfile.ZipInfo(f"{TOP['ludb']}/passwd")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    opened.writestr(info, "/etc/passwd")


def double(opened: zipfile.ZipFile) -> None:
    """Add a member that is there already."""
    with warnings.catch_warnings(action="ignore"):
        opened.writestr(f"{TOP['ludb']}/RECORDS", "data/1")


def packed(method: int) -> Write:
    """Add a member that is compressed in another way."""
    return lambda opened: opened.writestr(f"{TOP['ludb']}/more", "more", compress_type=method)


def extra(name: str) -> Build:
    """Build a zip with one more member of this name."""
    return with_member(lambda opened: opened.writestr(name, "more"))


def stale_sum(folder: Path) -> list[Command]:
    """Build a release of which a member is not what its sums say."""
    sums = "".join(f"{'0' * 64} {name}\n" for name in ("RECORDS", "ludb.csv"))
    changes = {"SHA256SUMS.txt": sums.encode()}
    archive = write_zip(folder / "in" / "x.zip", "ludb", changes, sums=False)
    return read_zip(folder, archive, "ludb")


HALF_A_ZIP = ("x.zip: not a readable zip",)
ZIPS = [
    ("cut short", spoilt(lambda content: content[: len(content) // 2]), HALF_A_ZIP),
    ("empty file", spoilt(lambda content: b""), HALF_A_ZIP),
    ("a web page", spoilt(lambda content: b"<!DOCTYPE html><title>404</title>"), HALF_A_ZIP),
    ("not there", absent, ("x.zip: not a readable zip", "No such file")),
    (
        "bit flipped in the data of a member",
        spoilt(lambda content: flipped(content, data_of(content, "data/1.dat") + 40)),
        ("x.zip: member data/1.dat is damaged",),
    ),
    (
        "bit flipped in a CRC of the directory",
        spoilt(lambda content: flipped(content, entry_of(content, "data/1.hea") + 16)),
        ("x.zip: member data/1.hea is damaged", "CRC"),
    ),
    (
        "bit flipped in a name of the directory",
        spoilt(lambda content: flipped(content, entry_of(content, "RECORDS") + 46 + 11)),
        ("x.zip: no member RECORDS",),
    ),
    (
        "bit flipped in the magic number of the directory",
        spoilt(lambda content: flipped(content, entry_of(content, "RECORDS"))),
        ("x.zip: not a readable zip", "central directory"),
    ),
    ("member not as its SHA-256", stale_sum, ("member RECORDS has SHA-256", "0" * 64)),
    ("path that climbs out", extra("ludb-1.0.1/../../x"), ("'ludb-1.0.1/../../x' is not a plain",)),
    ("absolute path", extra("/etc/x"), ("'/etc/x' is not a relative path",)),
    ("Windows path", extra("C:\\x"), ("is not a relative path with forward slashes",)),
    ("symbolic link", with_member(link), ("'ludb-1.0.1/passwd' is a link", "allowed")),
    (
        "member that claims 4 GB",
        spoilt(lambda content: claiming(4_000_000_000, content)),
        ("'ludb-1.0.1/data/1.dat' claims 4000000000 bytes; allowed are",),
    ),
    ("member that holds 1,400 times its claim", bomb, ("member data/1.dat is damaged",)),
    (
        "member that holds less than its claim",
        spoilt(lambda content: claiming(20_000, content)),
        ("member data/1.dat is damaged", "20000"),
    ),
    (
        "member compressed by LZMA",
        with_member(packed(zipfile.ZIP_LZMA)),
        ("'ludb-1.0.1/more' is compressed by method 14; allowed are 0 (stored), 8 (deflated)",),
    ),
    (
        "encrypted member",
        spoilt(lambda content: flipped(content, entry_of(content, "ludb.csv") + 8)),
        ("'ludb-1.0.1/ludb.csv' is encrypted",),
    ),
    ("list of records missing", release("ludb", {"RECORDS": None}), ("no member RECORDS in",)),
    ("signal missing", release("ludb", {"data/2.dat": None}), ("no member data/2.dat in",)),
    ("annotation missing", release("ludb", {"data/2.v3": None}), ("no member data/2.v3 in",)),
    ("member twice", with_member(double), ("'ludb-1.0.1/RECORDS' is there twice",)),
    ("two top folders", extra("other/x"), ("in one top folder, found ludb-1.0.1, other",)),
    ("file beside the top folder", extra("x"), ("in one top folder, found ludb-1.0.1, x",)),
    ("release in a folder more", nested, ("no member RECORDS in the top folder download",)),
]

# --- WFDB records -----------------------------------------------------------------------------

SOUND = wfdb_files("1", fs_hz=500, n_samples=500)
HEA, DAT = SOUND["1.hea"], SOUND["1.dat"]


def record(**changes: bytes | None) -> Build:
    """Build LUDB with another header, signal or annotation of record 1."""
    return release("ludb", {f"data/1.{name}": content for name, content in changes.items()})


def header(old: str, new: str, count: int = 1) -> Build:
    """Build LUDB with another text in the header of record 1."""
    assert old.encode() in HEA
    return record(hea=HEA.replace(old.encode(), new.encode(), count))


def counts(lead: int, samples: slice, value: int) -> Build:
    """Build LUDB with other counts in one lead of record 1."""
    table = np.frombuffer(DAT, dtype="<i2").reshape(-1, 12).copy()
    table[samples, lead] = value
    return record(dat=table.tobytes())


def renamed(*leads: str) -> Build:
    """Build LUDB with other leads in record 1."""
    made = wfdb_files("1", fs_hz=500, n_samples=500, leads=leads)
    return record(hea=made["1.hea"], dat=made["1.dat"])


def one_sample() -> Build:
    """Build LUDB with a record of one sample."""
    made = wfdb_files("1", fs_hz=500, n_samples=1)
    return record(hea=made["1.hea"], dat=made["1.dat"])


def first_leads(folder: Path) -> list[dict[str, Any]]:
    """Read the leads of the first record that was written."""
    rows: list[dict[str, Any]] = pq.read_table(folder / "out" / "records").to_pylist()
    return [row for row in rows if row["record_id"] == rows[0]["record_id"]]


def gain_is_200(folder: Path) -> None:
    """WFDB's default, header(5)."""
    np.testing.assert_allclose(first_leads(folder)[0]["signal"][:3], [0, 0.005, 0.01], atol=1e-6)


def rate_is_360(folder: Path) -> None:
    """The record keeps its rate, and its window has the working rate."""
    assert {row["fs_hz"] for row in first_leads(folder)} == {360}
    row = pq.read_table(folder / "out" / "shard").to_pylist()[0]
    assert (row["fs_hz"], len(row["signal"])) == (250, 250)


def leads_are_standard(folder: Path) -> None:
    """Names come out as the pipeline spells them."""
    assert [row["lead"] for row in first_leads(folder)] == list(STANDARD)


def twelve_leads(folder: Path) -> None:
    """The record is there."""
    assert len(first_leads(folder)) == 12


SPELLINGS = (
    "I",
    "LEAD II",
    "lead_III",
    "AVR",
    "avl",
    "Lead aVF",
    "V1",
    "v2",
    "leadV3",
    "ECG lead V4",
)
WFDB = [
    ("signal shorter than its header", record(dat=DAT[:-24]), ("data/1", "11976", "12000")),
    ("signal longer than its header", record(dat=DAT + b"\0\0"), ("data/1", "12002", "12000")),
    ("fewer leads than it says", header("1 12", "1 13"), ("data/1", "13 signals", "describes 12")),
    ("unknown format", header(".dat 16", ".dat 310"), ("data/1", "310; allowed are 8, 80, 16")),
    ("skewed lead", header("16 1000", "16:3 1000"), ("lead i has", "skew 3", "allowed are 1, 0")),
    ("signal in another file", header("1.dat", "2.dat"), ("data/1", "lie in 1.dat", "2.dat")),
    ("no header", record(hea=b"\x00\x01"), ("data/1", "1.hea cannot be read as WFDB")),
    ("line of 300 characters", record(hea=HEA + b"x" * 300), ("data/1.hea", "300 in", "254 in")),
    ("record in segments", record(hea=b"1/2 12 500 500\n1a 250\n1b 250\n"), ("data/1", "segments")),
    ("unit that is no voltage", header("mV", "kg"), ("data/1: lead i is in 'kg'; allowed", "mV")),
    ("no sample", header("500 500", "500 0"), ("data/1", "0 samples; at least 1")),
    ("one sample", one_sample(), ("data/1: lead i is flat",)),
    ("invalid (NaN) samples", counts(3, slice(7, 9), -32768), ("lead avr has 2 invalid samples",)),
    ("flat lead", counts(11, slice(None), 5), ("data/1: lead v6 is flat", "0.005 mV")),
    ("rate 0", header("500 500", "0 500"), ("data/1", "0 Hz; allowed are 50 to 100000")),
    ("rate 250.3", header("500 500", "250.3 500"), ("record 1, lead I", "250.3 Hz")),
    ("lead missing", renamed(*LEADS[:11]), ("data/1: no lead V6; found I, II",)),
    ("lead too many", renamed(*LEADS, "vx"), ("data/1: more than the leads I, II", "vx")),
    ("lead in two spellings", renamed("lead II", *LEADS[1:]), ("data/1", "lead II, ii, iii")),
    ("unknown lead", renamed(*LEADS[:11], "V7"), ("data/1: no lead V6; found", "V7")),
    (
        "shorter than a window",
        release("ludb", window_s=2),
        ("record 1, lead I", "500 samples", "990"),
    ),
]
WFDB_ACCEPTED = [
    ("gain 0", header("1000.0(0)/mV", "0(0)/mV", -1), (), gain_is_200),
    ("rate 360", header("500 500", "360 500"), (), rate_is_360),
    ("other spellings", renamed(*SPELLINGS, "V5", "Lead_v6"), (), leads_are_standard),
    (
        "saturated lead",
        counts(6, slice(0, 400), 32767),
        ("x.zip: record data/1: lead v1 is saturated, 80 % of its samples are 32.767 mV",),
        twelve_leads,
    ),
]

# --- annotations ------------------------------------------------------------------------------


def marks(samples: list[int], symbols: str, fs_hz: float | None = None) -> Build:
    """Build LUDB with other marks in lead II of record 1."""
    return record(ii=marks_file(np.array(samples), list(symbols), fs_hz))


def noted(*notes: bytes) -> bytes:
    """Make an annotation file of notes at sample 0, each of an even number of bytes."""
    words = [struct.pack("<HH", 22 << 10, 63 << 10 | len(note)) + note for note in notes]
    return b"".join(words) + b"\0\0"


def waves_of_ii(*expected: tuple[int, int, int]) -> Check:
    """Compare the waves of lead II of record 1."""

    def check(folder: Path) -> None:
        row = first_leads(folder)[1]
        found = zip(row["wave_on"], row["wave_peak"], row["wave_off"], strict=True)
        assert tuple(found) == expected

    return check


SOUND_MARKS = marks_file(np.array([60, 70, 80]), list("(N)"))
ANNOTATIONS = [
    ("out of order", record(ii=backward_marks()), ("data/1.ii", "sample 28 follows sample 60")),
    ("beyond the end", marks([60, 70, 500], "(N)"), ("data/1.ii", "sample 500", "500 samples")),
    ("unknown symbol", marks([60, 70, 80], "(V)"), ("data/1.ii", "'V' at sample 70; allowed")),
    ("for another rate", marks([60, 70], "(N", 250), ("data/1.ii is at 250 Hz", "500 Hz")),
    ("cut short", record(ii=SOUND_MARKS[:-2]), ("data/1.ii", "cut short, without its end mark")),
    ("empty file", record(ii=b""), ("data/1.ii", "cut short, without its end mark")),
    ("more behind its end", record(ii=SOUND_MARKS + b"more"), ("data/1.ii", "4 bytes follow")),
]
ANNOTATIONS_ACCEPTED = [
    ("nested brackets", marks([50, 60, 70, 80, 90], "((N))"), (), waves_of_ii((60, 70, 80))),
    ("brackets only", marks([50, 60, 70, 80], "()()"), (), waves_of_ii()),
    ("no mark", record(ii=b"\0\0"), ("data/1.ii holds no mark",), waves_of_ii()),
    (
        "notes on which wfdb hangs",
        record(ii=noted(b"## one", b"## two")),
        ("data/1.ii holds no mark",),
        waves_of_ii(),
    ),
]

# --- lists and CSV files ----------------------------------------------------------------------

TRAIN_CSV = "train_isp_delineation_data.csv"


def target(cell: str) -> Build:
    """Build ISP with another annotation cell."""
    rows = "".join(f'{name},"{cell}"\n' for name in ("7", "1", "3"))
    return release("isp", {TRAIN_CSV: f"file_name,target\n{rows}".encode()})


def isp_csv(text: str, encoding: str = "utf-8") -> Build:
    """Build ISP with another CSV file."""
    return release("isp", {TRAIN_CSV: text.encode(encoding)})


def ludb_csv(*rows: str) -> Build:
    """Build LUDB with another CSV file."""
    return release("ludb", {"ludb.csv": (CSV_HEAD + "".join(rows)).encode()})


FIRST = (TRAIN_CSV, "record 7:")
ROWS = "7,[]\n1,[]\n3,[]\n"
CSVS = [
    ("ISP: target that is no list", target("[(0, 1, 2)"), (*FIRST, "'[(0, 1, 2)'")),
    ("ISP: target that is code", target("[print(1)]"), (*FIRST, "'[print(1)]'")),
    ("ISP: tuple of two", target("[(0, 1)]"), (*FIRST, "(0, 1) is not (class, onset, offset)")),
    ("ISP: class 3", target("[(3, 1, 2)]"), (*FIRST, "(3, 1, 2) is not", "class 0, 1 or 2")),
    ("ISP: half a sample", target("[(0, 1.5, 2)]"), (*FIRST, "(0, 1.5, 2) is not")),
    ("ISP: reversed span", target("[(0, 20, 10)]"), (*FIRST, "(0, 20, 10) must go forward")),
    ("ISP: span beyond the end", target("[(0, 20, 999)]"), (*FIRST, "(0, 20, 999)", "of 999")),
    (
        "ISP: record without a row",
        isp_csv("file_name,target\n7,[]\n1,[]\n"),
        ("x.zip: record 3 is in train_data/", f"{TRAIN_CSV} has no row of it"),
    ),
    (
        "ISP: row without a record",
        isp_csv(f"file_name,target\n{ROWS}99,[]\n"),
        (f"x.zip: record 99 is in {TRAIN_CSV}", "train_data/ has no header of it"),
    ),
    ("ISP: row twice", isp_csv(f"file_name,target\n{ROWS}7,[]\n"), (TRAIN_CSV, "7 twice")),
    ("ISP: no column", isp_csv("file_name,age\n7,50\n"), (TRAIN_CSV, "no column target; found")),
    ("ISP: open quote", isp_csv('file_name,target\n7,"[]\n'), (TRAIN_CSV, "line 2", "end of data")),
    ("ISP: in UTF-16", isp_csv(f"file_name,target\n{ROWS}", "utf-16"), (TRAIN_CSV, "not UTF-8")),
    (
        "LUDB: record twice in RECORDS",
        release("ludb", {"RECORDS": b"data/1\ndata/1\n"}),
        ("x.zip: RECORDS lists record 1 twice",),
    ),
    (
        "LUDB: record that climbs",
        release("ludb", {"RECORDS": b"../1\n"}),
        ("x.zip: RECORDS lists '../1'; allowed is data/",),
    ),
    ("LUDB: row missing", ludb_csv(LUDB_ROWS["1"], LUDB_ROWS["2"]), ("lacks record 10",)),
    (
        "LUDB: no rhythm",
        ludb_csv("1,F,50,,,\n2,F,50,a,,\n10,F,50,a,,\n"),
        ("no rhythm for record 1",),
    ),
    ("LUDB: id of two lines", ludb_csv('"1\n2",F,50,a,,\n'), ("ludb.csv lists record '1\\n2'",)),
]
CSVS_ACCEPTED = [
    ("ISP: no wave", target("[]"), (), lambda folder: twelve_leads(folder)),
    (
        "ISP: byte order mark, CRLF",
        isp_csv("\ufefffile_name,target\r\n" + ROWS.replace("\n", "\r\n")),
        (),
        twelve_leads,
    ),
]

# --- configurations ---------------------------------------------------------------------------


def overlay(text: str) -> Build:
    """Build an overlay of the configuration and plan the workflow."""

    def build(folder: Path) -> list[Command]:
        path = folder / "in" / "overlay.yaml"
        path.write_text(text)
        work = folder / "out" / "work"
        plan = ["--cores", "1", "--dry-run", "--directory", str(work), "--snakefile", "Snakefile"]
        return [["snakemake", *plan, "--configfile", str(path)]]

    return build


def setting(text: str) -> Build:
    """Build the command that writes a setting."""
    return lambda folder: [
        ["write-setting", "--setting", text, "--path", str(folder / "out" / "tiny.yaml")]
    ]


def index_with(option: str, value: str) -> Build:
    """Build the command that indexes a sound zip, with another option."""

    def build(folder: Path) -> list[Command]:
        command = release("ludb")(folder)[0]
        command[command.index(option) + 1] = value
        return [command]

    return build


CONFIGS = [
    ("typo in a section", overlay("sgnal: {}"), ("unknown key 'sgnal'; did you mean 'signal'?",)),
    (
        "typo in a key",
        overlay("signal: {fs: 250}"),
        ("signal: unknown key 'fs'; known: frame_ms, fs_hz",),
    ),
    ("wrong type", overlay("signal: {fs_hz: fast}"), ("signal.fs_hz: 'fast' is not of type",)),
    ("out of range", overlay("seeds: [-1]"), ("seeds.0: -1 is less than the minimum of 0",)),
    ("section without content", overlay("scoring:"), ("scoring: None is not of type 'object'",)),
    ("key that is a number", overlay("specs: {24: {}}"), ("specs: 24 is not of type 'string'",)),
    ("unknown data set", overlay("datasets: [ludbb]"), ("data set 'ludbb'; did you mean 'ludb'?",)),
    (
        "unknown setting",
        overlay("train: [Z]"),
        ("train: unknown setting 'Z'; known: A, A_unmasked, B",),
    ),
    ("data set not chosen", overlay("train: [F]"), ("'F' needs data set 'ludb', which is not",)),
    ("setting that is no JSON", setting("{"), ("setting: not JSON",)),
    (
        "setting with a wrong type",
        setting(json.dumps(setting_values(epochs="3"))),
        ("setting, training.epochs: '3' is not int",),
    ),
    ("unknown layout", index_with("--layout", "mitdb"), ("layout 'mitdb'; allowed are isp, ludb",)),
    ("more parts than records", index_with("--parts", "9"), ("parts must be 1 to 3", "got 9")),
    ("share over 1", index_with("--fraction", "1.5"), ("dataset ludb", "between 0 and 1, got 1.5")),
]

# --- checkpoints and other artefacts ----------------------------------------------------------

ORIGIN = Origin(
    **{"name": "tiny", "setting": setting_values(), "scheme": "held_out", "seed": 3},
    **{
        "code": "c",
        "data": "d",
        "fs_hz": 250.0,
        "n_samples": 200,
        "precision": "float32",
        "buffer": 0,
    },
)


@cache
def weights() -> Mapping[str, torch.Tensor]:
    """Draw the weights of a model."""
    network: torch.nn.Module = build_model(ORIGIN.setting["model"])
    return network.state_dict()


def checkpoint(*, half: bool = False, **values: object) -> bytes:
    """Make a checkpoint that tells something else of itself, or holds float16."""
    content = {**vars(ORIGIN), "format": FORMAT, "classes": CLASSES} | values
    tensors = {name: tensor.half() if half else tensor for name, tensor in weights().items()}
    return safetensors.torch.save(tensors, {KEY: json.dumps(content)})


def pickled() -> bytes:
    """Make what ``torch.save`` writes."""
    file = io.BytesIO()
    torch.save(weights(), file)
    return file.getvalue()


def predicting(content: bytes, *, split: str = "test") -> Build:
    """Build a checkpoint, and a shard to predict on."""

    def build(folder: Path) -> list[Command]:
        path, shard = folder / "in" / "model", folder / "in" / "shard"
        path.write_bytes(content)
        write_rows(shard_rows(split=split, records=1), shard)
        options = ["--model", str(path), "--shards", str(shard), "--leads", "0", "--shifts", "1"]
        return [["predict", *options, "--threads", "1", "--probabilities", f"{folder}/out/found"]]

    return build


def on_shard(spoil: Callable[[bytes], bytes]) -> Build:
    """Build a sound checkpoint, and a shard of which the bytes are changed."""

    def build(folder: Path) -> list[Command]:
        commands = predicting(checkpoint())(folder)
        shard = folder / "in" / "shard"
        shard.write_bytes(spoil(shard.read_bytes()))
        return commands

    return build


def other_table() -> bytes:
    """Make a Parquet file that is no shard."""
    file = io.BytesIO()
    pq.write_table(pa.table({"age": [50]}), file)
    return file.getvalue()


def resuming(content: bytes) -> Build:
    """Build a training that finds something in the place of what it would go on with."""

    def build(folder: Path) -> list[Command]:
        write_rows(shard_rows(), folder / "in" / "shard")
        write_setting_file(folder / "in")
        (folder / "out" / RESUME).write_bytes(content)
        options = ["--setting", f"{folder}/in/tiny.yaml", "--shards", f"{folder}/in/shard"]
        options += ["--scheme", "held_out", "--seed", "0", "--threads", "1", "--precision", "auto"]
        options += ["--model", f"{folder}/out/model"]
        return [["train", *options, "--history", f"{folder}/out/history.tsv"]]

    return build


def trained(folder: Path) -> None:
    """Expect a model of its own."""
    _, origin = load_checkpoint(folder / "out" / "model")
    assert (origin.name, origin.seed) == ("tiny", 0)


WIDE = setting_values()["model"] | {"d_model": 16}
UNREADABLE = ("in/model: not a readable safetensors file",)
CHECKPOINTS = [
    ("foreign", predicting(safetensors.torch.save(dict(weights()))), ("no openecg metadata",)),
    ("cut short", predicting(checkpoint()[:-1]), UNREADABLE),
    ("pickle", predicting(pickled()), UNREADABLE),
    ("Parquet", predicting(other_table()), UNREADABLE),
    ("of another format", predicting(checkpoint(format="x 9")), ("'x 9'; this version reads",)),
    ("of other classes", predicting(checkpoint(classes=["QRS"])), ("['QRS']; this version reads",)),
    ("of other windows", predicting(checkpoint(n_samples=400)), ("of 200 samples", "takes 400")),
    (
        "of a wider model",
        predicting(checkpoint(setting=setting_values() | {"model": WIDE})),
        ("in/model: does not hold its model", "stem.2.weight is", "[16, 32, 5]"),
    ),
    (
        "of half precision",
        predicting(checkpoint(half=True)),
        (
            "is torch.float16",
            "needs torch.float32",
        ),
    ),
    ("with a seed that is text", predicting(checkpoint(seed="x")), ("seed: 'x' is not",)),
    ("shard cut short", on_shard(lambda shard: shard[:-9]), ("in/shard: not a readable Parquet",)),
    (
        "table that is no shard",
        on_shard(lambda shard: other_table()),
        ("in/shard: no column dataset", "found age"),
    ),
    ("no held-out record", predicting(checkpoint(), split="train"), ("found splits ['train']",)),
]
CHECKPOINTS_ACCEPTED = [
    ("pickle to resume from", resuming(pickled()), ("afresh", RESUME), trained),
    ("model to resume from", resuming(checkpoint()), ("afresh, because of another",), trained),
]

CASES = [
    Case(group, *row)
    for group, rows in (
        ("zip", ZIPS),
        ("WFDB", WFDB),
        ("annotation", ANNOTATIONS),
        ("CSV", CSVS),
        ("config", CONFIGS),
        ("checkpoint", CHECKPOINTS),
    )
    for row in rows
]
ACCEPTED = [
    Case(group, *row)
    for group, rows in (
        ("WFDB", WFDB_ACCEPTED),
        ("annotation", ANNOTATIONS_ACCEPTED),
        ("CSV", CSVS_ACCEPTED),
        ("checkpoint", CHECKPOINTS_ACCEPTED),
    )
    for row in rows
]
