"""What `make` would run: the commands, not their work."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEADLINE = "print-headline"
HEAD = "python -m openecg.head "

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not here")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the Makefile reads."""
    for path in ("Makefile", "Snakefile", "pyproject.toml", "constraints.txt", "results/README.md"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    for name in ("rules", "configs"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def _make(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(["make", *args], cwd=folder, env=env, text=True, capture_output=True)


def _run(folder: Path, *args: str) -> tuple[str, bool]:
    """Return the command that `make run` would give, and whether a headline would follow."""
    done = _make(folder, "--dry-run", "run", *args)
    assert done.returncode == 0, done.stderr
    (command,) = [line for line in done.stdout.splitlines() if line.startswith(HEAD)]
    return " ".join(command.removeprefix(HEAD).split()), HEADLINE in done.stdout


@pytest.mark.parametrize("given", ["--resources gpu=3 mem_mb=9", "--resources=gpu=3 mem_mb=9"])
def test_resources_of_the_user_are_kept(folder: Path, given: str) -> None:
    command, _ = _run(folder, f"ARGS={given}")
    assert command == "snakemake --cores 2 --resources gpu=1 gpu=3 mem_mb=9"


@pytest.mark.parametrize(
    ("args", "headline"),
    [
        ("--keep-going", True),
        ("--rerun-triggers mtime", True),
        ("all --quiet", True),
        ("-n", False),
        ("-np", False),
        ("--keep-going --dry-run", False),
        ("shards", False),
        ("results/metrics/frames.tsv", False),
        ("--until train", False),
    ],
)
def test_a_headline_follows_a_full_run(folder: Path, args: str, headline: bool) -> None:
    assert _run(folder, f"ARGS={args}")[1] == headline


def test_a_config_that_is_not_there_is_said_before_anything_is_installed(folder: Path) -> None:
    done = _make(folder, "run", "CONFIG=configs/lubd.yaml")
    assert done.returncode != 0
    assert "CONFIG=configs/lubd.yaml: no such file; shipped: " in done.stderr
    assert "configs/ludb.yaml" in done.stderr
    assert not (folder / ".venv").exists()


def test_clean_leaves_what_is_in_git(folder: Path) -> None:
    (folder / "results" / "index").mkdir()
    (folder / "results" / "report.html").touch()
    assert _make(folder, "clean").returncode == 0
    assert [path.name for path in (folder / "results").iterdir()] == ["README.md"]
