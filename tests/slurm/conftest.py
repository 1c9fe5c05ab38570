"""A cluster, a finished local run to compare with, and runs on the cluster."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, why_not
from tests.workflow.conftest import LEFT_BEHIND, ROOT

CONFIG = ("--configfile", "configs/tiny.yaml", "tests/slurm/longer.yaml")
# What tests can do without: waiting for a slow file system, and groups wider than this machine.
QUICK = (
    *("--latency-wait", "15", "--slurm-init-seconds-before-status-checks", "2"),
    *("--cores", "4", "--resources", "gpu=6", "mem_mb=16000"),
)
LOG = ROOT / "test-logs" / "slurm.log"


class Run:
    """A Snakemake at work in a folder."""

    def __init__(self, folder: Path, env: dict[str, str], *command: str) -> None:
        self.folder = folder
        self.log = folder / f"run-{time.monotonic_ns()}.log"
        self.started = time.monotonic()
        with self.log.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=folder,
                env={**env, "PATH": f"{Path(sys.executable).parent}:{env['PATH']}"},
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    @property
    def name(self) -> str:
        """The name its jobs have in SLURM."""
        found = re.search(r"^SLURM run ID: (\S+)$", self.log.read_text(), re.M)
        assert found, self.log.read_text()
        return found[1]

    def wait_for(self, true: Callable[[], object], limit_s: float = 120) -> None:
        until = time.monotonic() + limit_s
        while not true():
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < until, self.log.read_text()[-3000:]
            time.sleep(0.1)

    def end(self, limit_s: float = 400) -> int:
        """Wait for its end; return the seconds it took."""
        assert self.process.wait(limit_s) == 0, self.log.read_text()[-5000:]
        return round(time.monotonic() - self.started)

    def kill(self) -> None:
        """Kill Snakemake, and nothing else."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    if not os.getenv("OPENECG_SLURM"):
        pytest.skip("`make test-slurm` runs these")
    if why_not():
        pytest.skip(why_not())
    if not importlib.util.find_spec("snakemake_executor_plugin_slurm"):
        pytest.skip("needs `pip install -c constraints.txt -e '.[slurm]'`")
    LOG.parent.mkdir(exist_ok=True)
    LOG.unlink(missing_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="openecg-slurm-"))  # MariaDB cannot look into tmp_path
    cluster = Cluster(folder)
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.down()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def local(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which the whole run was done without SLURM."""
    folder = tmp_path_factory.mktemp("local") / "checkout"
    shutil.copytree(ROOT, folder, ignore=LEFT_BEHIND)
    seconds = Run(folder, cluster.env, "snakemake", "--cores", "2", *CONFIG).end()
    report(f"local run on two cores: {seconds} s")
    return folder


def on_cluster(folder: Path, cluster: Cluster, *options: str, **env: str) -> Run:
    """Start the run of the whole workflow, or of a target, as ``make slurm`` does."""
    profile = ("--workflow-profile", "profiles/slurm")
    env = {**cluster.env, **env}
    return Run(folder, env, "openecg.head", "snakemake", *profile, *options, *QUICK, *CONFIG)


def report(*lines: str) -> None:
    """Print lines and leave them in the log of the tests."""
    print(*lines, sep="\n")
    with LOG.open("a") as file:
        print(*lines, sep="\n", file=file)
