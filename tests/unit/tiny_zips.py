"""Small data set zips of each layout, made in memory; tests spoil single members of them."""

import hashlib
import tempfile
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import wfdb

LEADS = ["i", "ii", "iii", "avr", "avl", "avf", "v1", "v2", "v3", "v4", "v5", "v6"]
MARKS = (
    np.array([20, 30, 40, 60, 70, 80, 100, 120, 140]),
    ["(", "p", ")", "(", "N", ")", "(", "t", ")"],
)
TOP = {"ludb": "ludb-1.0.1", "qtdb": "qt-database-1.0.0", "isp": "isp_delineation_dataset"}
TARGET = "[(1, 300, 400), (0, 100, 200), (2, 500, 700)]"
CSV_HEAD = "ID,Sex,Age,Rhythms,Conduction abnormalities,Cardiac pacing\n"
LUDB_ROWS = {
    "1": '1,"F\n","51\n",Sinus rhythm,,\n',
    "2": '2,"M\n","64\n","Atrial fibrillation\nAberrant conduction",,Pacemaker\n',
    "10": '10,"M\n","53\n",Sinus rhythm ,"I degree av block\nLeft anterior hemiblock\n",\n',
}


def signal(n_samples: int, n_leads: int) -> np.ndarray:
    """Counts that differ from lead to lead: lead k is a ramp that starts at 100 k."""
    return (np.arange(n_samples)[:, None] % 500 + 100 * np.arange(n_leads)[None]).astype(np.int64)


@cache
def wfdb_files(
    name: str,
    *,
    fs_hz: int,
    n_samples: int,
    leads: tuple[str, ...] = tuple(LEADS),
    unit: str = "mV",
    fmt: str = "16",
    gain: float = 1000.0,
) -> Mapping[str, bytes]:
    """Make the header and signal file of a record, by file name."""
    with tempfile.TemporaryDirectory() as folder:
        wfdb.wrsamp(
            name,
            fs=fs_hz,
            units=[unit] * len(leads),
            sig_name=list(leads),
            d_signal=signal(n_samples, len(leads)),
            fmt=[fmt] * len(leads),
            adc_gain=[gain] * len(leads),
            baseline=[0] * len(leads),
            write_dir=folder,
        )
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def marks_file(samples: np.ndarray, symbols: list[str], fs_hz: float | None = None) -> bytes:
    """Make an annotation file."""
    with tempfile.TemporaryDirectory() as folder:
        wfdb.wrann("x", "a", np.asarray(samples), symbols, fs=fs_hz, write_dir=folder)
        return (Path(folder) / "x.a").read_bytes()


def backward_marks() -> bytes:
    """Make an annotation file with marks at samples 60 and 28, which wfdb itself does not write.

    Words of the MIT format: symbol code << 10 | interval; SKIP (59) holds an interval of 32 bits.
    """
    words = [39 << 10 | 60, 59 << 10, 0xFFFF, 0xFFE0, 1 << 10, 0]
    return np.array(words, dtype="<u2").tobytes()


@cache
def _usual_marks() -> bytes:
    return marks_file(*MARKS)


def members(layout: str) -> dict[str, bytes]:
    """Return the files of a sound little release, without its sums."""
    files: dict[str, bytes] = {}
    if layout == "ludb":
        files["RECORDS"] = "".join(f"data/{name}\n" for name in LUDB_ROWS).encode()
        files["ludb.csv"] = (CSV_HEAD + "".join(LUDB_ROWS.values())).encode()
        for name in LUDB_ROWS:
            made = wfdb_files(name, fs_hz=500, n_samples=500)
            files |= {f"data/{file}": content for file, content in made.items()}
            files |= {f"data/{name}.{lead}": _usual_marks() for lead in LEADS}
    elif layout == "qtdb":
        files["RECORDS"] = b"sel100\nsel30\n"
        for name, leads in (("sel100", ("MLII", "v5")), ("sel30", ("ECG1", "D3"))):
            files |= wfdb_files(name, fs_hz=250, n_samples=501, leads=leads, fmt="212", gain=200.0)
            files |= {f"{name}.{extension}": _usual_marks() for extension in ("q1c", "pu0", "pu1")}
    else:
        for split, names in (("train", ("7", "1", "3")), ("test", ("1",))):
            head = "file_name,age,sex,target\n"
            rows = "".join(f'{name},50,1,"{TARGET}"\n' for name in names)
            files[f"{split}_isp_delineation_data.csv"] = (head + rows).encode()
            for name in names:
                made = wfdb_files(name, fs_hz=1000, n_samples=999, unit="uV", gain=1.0)
                files |= {f"{split}_data/{file}": content for file, content in made.items()}
    return files


def write_zip(
    path: Path, layout: str, changes: Mapping[str, bytes | None] | None = None, *, sums: bool = True
) -> Path:
    """Write a release of a layout; ``changes`` replaces members, or leaves out those of None.

    The sums are made after the changes, so that only what a test spoils is wrong.
    """
    files: dict[str, bytes | None] = {**members(layout), **(changes or {})}
    kept = {name: content for name, content in files.items() if content is not None}
    if sums and layout != "isp":
        lines = [
            f"{hashlib.sha256(content).hexdigest()} {name}\n" for name, content in kept.items()
        ]
        kept["SHA256SUMS.txt"] = "".join(lines).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in kept.items():
            made.writestr(f"{TOP[layout]}/{name}", content)
    return path
