"""A finished tiny run to copy, and a handle on such a copy."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEFT_BEHIND = shutil.ignore_patterns(
    ".git", ".venv", ".snakemake", "results", "*.zip", "*.part", ".*_cache", ".hypothesis"
)


class Checkout:
    """A copy of this project in which tests may edit, run and break things."""

    config: tuple[str, ...] = ("--configfile", "configs/tiny.yaml")

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "2", *args],
            cwd=self.root,
            env={**os.environ, "PATH": path},
            check=check,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def make(self, *args: str) -> str:
        done = self.run(*args, *self.config, check=False)
        assert done.returncode == 0, done.stdout[-5000:]
        return done.stdout

    def planned(self, *targets: str) -> dict[str, int]:
        stats = re.findall(r"^(\w+) +(\d+)$", self.make("--dry-run", *targets), re.MULTILINE)
        return {rule: int(n) for rule, n in stats if rule not in {"all", "total"}}

    def edit(self, path: str, old: str, new: str) -> None:
        text = (self.root / path).read_text()
        assert old in text
        (self.root / path).write_text(text.replace(old, new, 1))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("finished") / "checkout"
    shutil.copytree(ROOT, root, ignore=LEFT_BEHIND)
    Checkout(root).make()
    return root


@pytest.fixture
def done(finished: Path, tmp_path: Path) -> Checkout:
    shutil.copytree(finished, tmp_path / "checkout")
    return Checkout(tmp_path / "checkout")


@pytest.fixture
def fresh(tmp_path: Path) -> Checkout:
    shutil.copytree(ROOT, tmp_path / "checkout", ignore=LEFT_BEHIND)
    return Checkout(tmp_path / "checkout")
