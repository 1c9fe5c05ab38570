"""What made a file: the step and its options, the commit, the versions and the data."""

import hashlib
import json
import platform
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError, safe_open

from openecg.datasets import LAYOUTS
from openecg.provenance import code_hash

NOTE = "made_by"
BEHIND = "behind"  # among the options of a note: those of the steps before, as of `steps_behind`
PART = "part"  # an option that says nothing of how, and has hundreds of values
KEYS = {"step", "options", "commit", "code", "data", "versions"}
PACKAGES = (
    "openecg-pipeline",
    "neurokit2",
    "numpy",
    "pandas",
    "pyarrow",
    "safetensors",
    "scipy",
    "snakemake",
    "torch",
    "transformers",
    "wfdb",
)
NO_COMMIT = "not from a git checkout"
_current: ContextVar[dict[str, Any] | None] = ContextVar("made", default=None)


@contextmanager
def made_by(
    step: str, function: Callable[..., object], options: Mapping[str, Any]
) -> Iterator[None]:
    """Let everything that is written in this block carry what made it.

    Parameters
    ----------
    step : str
        Name of the step.
    function : function
        What it calls; the code of its module, and of all that this imports, is hashed, and that of
        the layout in ``options``. An architecture is hashed in the ``code`` of the checkpoint.
    options : mapping
        What it is called with. Paths of files that are there are its inputs; those of other files
        say nothing of the content and are left out.
    """
    paths = [path for value in options.values() for path in _paths(value) if path.is_file()]
    plain = {name: value for name, value in options.items() if not _paths(value)}
    noted = {name: _parsed(value) for name, value in plain.items() if value != []}
    behind = steps_behind(paths, step=step)
    layouts = [f"openecg.datasets.{name}" for name in LAYOUTS if options.get("layout") == name]
    token = _current.set(
        {
            "step": step,
            "options": noted | ({BEHIND: behind} if behind else {}),
            "commit": commit_of(Path(__file__).parent),
            "code": code_hash(function.__module__, *layouts),
            "data": data_of(paths),
            "versions": versions(),
        }
    )
    try:
        yield
    finally:
        _current.reset(token)


def current_note() -> str:
    """Give the note of `made_by` as JSON; ``""`` where no step is being run."""
    made = _current.get()
    return "" if made is None else json.dumps(made, sort_keys=True)


def data_of(inputs: list[Path]) -> dict[str, str]:
    """Say which raw data files stand behind inputs.

    Returns
    -------
    dict
        Sums (sha256) of zips by file name: those that the notes of ``inputs`` name, and, only if
        no note names any, those of the zips among ``inputs``.
    """
    found: dict[str, str] = {}
    for path in inputs:
        found |= note_of(path).get("data", {})
    if not found:
        for path in inputs:
            if path.suffix == ".zip":
                with path.open("rb") as file:
                    found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return dict(sorted(found.items()))


def steps_behind(inputs: Iterable[Path], *, step: str) -> dict[str, dict[str, list[Any]]]:
    """Collect the options of the steps that made some files, and of all steps before them.

    Parameters
    ----------
    inputs : iterable of Path
        Files; those without a note add nothing.
    step : str
        The step that takes them in; what it made itself, before, is no input of it.

    Returns
    -------
    dict
        By step and by option the different values, in order of their JSON, without the numbers of
        parts. To ``train`` belongs the ``setting`` that a checkpoint holds, in full. Raw zips carry
        no note, so what lies before them is not told.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}

    def add(maker: str, option: str, values: Iterable[Any]) -> None:
        known = found.setdefault(maker, {}).setdefault(option, {})
        known.update({json.dumps(value, sort_keys=True): value for value in values})

    for path in inputs:
        content = _content_of(path)
        note = _note_in(content)
        if not note or note["step"] == step:
            continue
        own, behind = split_options(note)
        for maker, values in behind.items():
            for option, some in values.items():
                add(maker, option, some)
        if path.suffix == ".safetensors":
            own["setting"] = {content.get("name"): content.get("setting")}
        for option, value in own.items():
            if option != PART:
                add(note["step"], option, [value])
    return {
        maker: {option: [known[key] for key in sorted(known)] for option, known in values.items()}
        for maker, values in sorted(found.items())
    }


def split_options(note: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give the options of the step that made a file, and of the steps before, by step."""
    own = dict(note["options"])
    return own, own.pop(BEHIND, {})


def note_of(path: Path) -> dict[str, Any]:
    """Read what made a file; empty where it is not noted, or the note is of another file."""
    return _note_in(_content_of(path))


def _content_of(path: Path) -> dict[str, Any]:
    """Read the JSON object that stands in or beside a file; empty if none does that is of it."""
    text = ""
    try:
        if path.suffix == ".parquet":
            note = (pq.read_schema(path).metadata or {}).get(NOTE.encode(), b"null").decode()
            text = f'{{"{NOTE}": {note}}}'
        elif path.suffix == ".safetensors":
            with safe_open(path, framework="np") as opened:
                text = (opened.metadata() or {}).get("openecg", "")
        elif (beside := metadata_path(path)).exists():
            text = beside.read_text()
        content = json.loads(text or "{}")
    except (pa.ArrowException, OSError, SafetensorError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    beside_it = path.suffix not in (".parquet", ".safetensors")
    other = beside_it and content and content.get("sha256") != _sha256(path)
    return {} if other else content


def _note_in(content: Mapping[str, Any]) -> dict[str, Any]:
    """Take the note out of the content of a file; empty if it is no note of `made_by`."""
    note = content.get(NOTE)
    if not isinstance(note, dict) or not note.keys() >= KEYS:
        return {}
    options = note["options"]
    fits = (
        isinstance(note["step"], str)
        and isinstance(options, dict)
        and isinstance(options.get(BEHIND, {}), dict)
        and all(
            isinstance(values, dict) and all(isinstance(some, list) for some in values.values())
            for values in options.get(BEHIND, {}).values()
        )
    )
    return note if fits else {}


def metadata_path(table: Path) -> Path:
    """Name the file beside a table that describes it, as CSV on the Web (W3C, 2015) does."""
    return table.with_name(f"{table.name}-metadata.json")


def table_metadata(table: Path, written: Path) -> str:
    """Describe a table in the vocabulary of CSV on the Web, with what made it.

    Parameters
    ----------
    table : Path
        Where it will lie.
    written : Path
        Where it has been written.
    """
    content = {
        "@context": "http://www.w3.org/ns/csvw",
        "url": table.name,
        "dialect": {"delimiter": "\t"},
        "sha256": _sha256(written),
        NOTE: json.loads(current_note()),
    }
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def commit_of(folder: Path) -> str:
    """Name the commit that a folder is checked out from, and whether tracked files differ."""
    git = ("git", "-C", str(folder))
    try:
        head = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        top = subprocess.run(
            [*git, "ls-files", "--error-unmatch", Path(__file__).name],
            capture_output=True,
            check=False,
        )
        if top.returncode:  # installed into a checkout of something else
            return NO_COMMIT
        changed = subprocess.run(
            [*git, "--no-optional-locks", "status", "--porcelain", "--untracked-files=no", ":/"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return NO_COMMIT
    return head + (" with changes" if changed else "")


def versions() -> dict[str, str]:
    """Give the versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _paths(value: Any) -> list[Path]:
    """Paths in the value of an option."""
    if isinstance(value, Path):
        return [value]
    return [item for item in value if isinstance(item, Path)] if isinstance(value, list) else []


def _parsed(value: Any) -> Any:
    """JSON in an option stands as what it says."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
