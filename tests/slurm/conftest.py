"""A cluster, a finished local run to compare with, and runs on the cluster."""

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs import Run
from tests.slurm.cluster import Cluster, why_not
from tests.workflow.conftest import LEFT_BEHIND, ROOT

CONFIG = ("--configfile", "configs/tiny.yaml", "tests/slurm/longer.yaml")
# No need to wait for a slow file system or a busy controller.
QUICK = ("--latency-wait", "15", "--slurm-init-seconds-before-status-checks", "2")
LOG = ROOT / "test-logs" / "slurm.log"


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
def remote(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The whole run on the cluster, which goes on beside the tests, as it waits a lot."""
    folder = tmp_path_factory.mktemp("remote") / "checkout"
    shutil.copytree(ROOT, folder, ignore=LEFT_BEHIND)
    run = on_cluster(folder, cluster)
    yield run
    if run.running():
        run.kill()


@pytest.fixture(scope="session")
def local(remote: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which the whole run was done without SLURM."""
    folder = tmp_path_factory.mktemp("local") / "checkout"
    shutil.copytree(ROOT, folder, ignore=LEFT_BEHIND)
    seconds = Run(folder, "snakemake", "--cores", "2", *CONFIG).succeed()
    report(f"local run on two cores: {seconds} s")
    return folder


def on_cluster(folder: Path, cluster: Cluster, *options: str, **env: str) -> Run:
    """Start the run of the whole workflow, or of a target, as ``make slurm`` does."""
    profile = ("--workflow-profile", "profiles/slurm")
    command = ("openecg.head", "snakemake", *profile, *options, *QUICK, *CONFIG)
    return Run(folder, *command, env={**cluster.env, **env})


def report(*lines: str) -> None:
    """Print lines and leave them in the log of the tests."""
    print(*lines, sep="\n")
    with LOG.open("a") as file:
        print(*lines, sep="\n", file=file)
