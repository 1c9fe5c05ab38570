"""What clusters do to runs: each fault in a folder of its own, all at once to save time."""

import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.runs import Run, steps
from tests.slurm.cluster import Cluster
from tests.slurm.conftest import CONFIG, QUICK, on_cluster, report
from tests.workflow.conftest import ROOT
from tests.workflow.same import digests

TRAINING = Path("results/checkpoints/F_simulated/seed0")
LOG = Path("results/logs/train/F_simulated.seed0.log")
MODEL, RESUME = TRAINING / "model.safetensors", TRAINING / "resume.safetensors"
PROFILE = ("--workflow-profile", "profiles/slurm")


@dataclass
class Place:
    """A copy of the finished run whose model has to be trained again, on the cluster."""

    folder: Path
    cluster: Cluster

    def start(self, **env: str) -> Run:
        return on_cluster(self.folder, self.cluster, str(MODEL), **env)

    def training(self, run: Run) -> tuple[str, str]:
        """Wait until an epoch is trained; return the SLURM job and its node."""
        run.wait_for((self.folder / RESUME).exists)
        told = self.cluster.run("squeue", "-h", f"--name={run.name}", "-t", "R", "-o", "%A %N")
        job, node = told.split()
        return job, node

    def went_on(self) -> bool:
        """Tell whether the last training went on from what another one had kept."""
        log = self.folder / LOG
        return log.exists() and "goes on after" in log.read_text()

    def stopped(self) -> bool:
        """Tell whether a training stopped by itself, before SLURM's log of it is deleted."""
        logs = (self.folder / "results/logs/slurm").rglob("*.log")
        return any("stopped by SIGTERM after step" in path.read_text() for path in logs)

    def states(self, *runs: Run) -> list[str]:
        return [job[-1] for run in runs for job in self.cluster.jobs("State", name=run.name)]


def cancel(place: Place) -> list[str]:
    run = place.start()
    job, _ = place.training(run)
    place.cluster.run("scancel", job)
    run.succeed()
    assert place.went_on()
    return place.states(run)


def warn(place: Place) -> list[str]:
    """Send a training the signal to save and stop."""
    run = place.start()
    job, _ = place.training(run)
    place.cluster.run("scancel", "--signal=TERM", job)
    run.succeed()
    assert place.stopped()
    assert place.went_on()
    return place.states(run)


def preempt(place: Place) -> list[str]:
    """Let a job of a partition that comes first take the node, in which there is grace time."""
    run = place.start(SBATCH_GPU_PARTITION="spot")
    place.training(run)
    rival = ("--partition=urgent", "--gres=gpu:6", "--mem=60000", "--output=/dev/null")
    place.cluster.run("sbatch", *rival, "--wrap", "sleep 5")
    run.succeed()
    assert place.stopped()
    assert place.went_on()
    return place.states(run)


def let_time_run_out(place: Place) -> list[str]:
    """Leave a training less than the two minutes before which it is warned."""
    run = place.start()
    job, _ = place.training(run)
    (training,) = steps(place.folder)
    os.kill(training, signal.SIGSTOP)  # or it would end before SLURM looks at the time
    place.cluster.run("scontrol", "update", f"JobId={job}", "TimeLimit=2")
    run.wait_for(lambda: warned(training))
    with suppress(ProcessLookupError):
        os.kill(training, signal.SIGCONT)
    run.succeed()
    assert place.stopped()
    assert place.went_on()
    return place.states(run)


def warned(process: int) -> bool:
    """Tell whether a SIGTERM waits for a stopped process, or has reached it."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return True
    pending = re.findall(r"^(?:SigPnd|ShdPnd):\t(\w+)$", status, re.M)
    return any(int(mask, 16) & 1 << signal.SIGTERM - 1 for mask in pending)


def kill_node(place: Place) -> list[str]:
    run = place.start(SBATCH_GPU_PARTITION="frail", SBATCH_CONSTRAINT="dies")
    _, node = place.training(run)
    place.cluster.kill_node(node)
    for features in ("AvailableFeatures", "ActiveFeatures"):  # the other node may take the job
        place.cluster.run("scontrol", "update", "NodeName=node1", f"{features}=dies")
    run.succeed()
    assert place.went_on()
    return place.states(run)


def kill_head(place: Place) -> list[str]:
    first = place.start()
    job, _ = place.training(first)
    first.kill()
    assert place.cluster.run("squeue", "-hj", job, "-o", "%T").strip() == "RUNNING"
    second = place.start()
    second.succeed()
    assert f"cancelling 1 SLURM jobs of a killed run: {job}" in second.said()
    assert place.went_on()
    return place.states(first, second)


def two_copies(place: Place) -> list[str]:
    """As `kill_head`, but by hand, so that the first copy of the job is not cancelled."""
    plain = ("snakemake", *PROFILE, str(MODEL), *QUICK, *CONFIG)
    first = Run(place.folder, *plain, env=place.cluster.env)
    job, _ = place.training(first)
    (copy,) = steps(place.folder)
    os.kill(copy, signal.SIGSTOP)  # until the other copy is as far
    first.kill()
    Run(place.folder, "snakemake", "--unlock", *CONFIG).succeed()
    second = Run(place.folder, *plain, env=place.cluster.env)
    second.wait_for(lambda: place.went_on() and len(steps(place.folder)) == 2)
    os.kill(copy, signal.SIGCONT)
    second.succeed()
    until = time.monotonic() + 300
    while not place.cluster.ended(job):
        assert time.monotonic() < until, f"job {job} does not end"
        time.sleep(1)
    return place.states(first, second)


SNAKEFILE = """\
rule hungry:
    output:
        "done.txt",
    resources:
        mem_mb=lambda wildcards, attempt: 200 * attempt,
    shell:
        "python hungry.py > {output}"
"""
HUNGRY = """\
import os, resource
limit = int(os.environ["SLURM_MEM_PER_NODE"]) << 20
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
print(len(bytearray(300 << 20)))
"""


def run_out_of_memory(place: Place) -> list[str]:
    """Memory is not enforced here, so a job that keeps its own limit stands in."""
    folder = place.folder / "hungry"
    folder.mkdir()
    (folder / "Snakefile").write_text(SNAKEFILE)
    (folder / "hungry.py").write_text(HUNGRY)
    profile = ("--workflow-profile", str(ROOT / "profiles" / "slurm"))
    run = Run(folder, "snakemake", *profile, *QUICK, env=place.cluster.env)
    run.succeed()
    assert (folder / "done.txt").read_text() == f"{300 << 20}\n"
    return [" ".join(job[1:]) for job in place.cluster.jobs("State", "ReqMem", name=run.name)]


FAULTS: dict[Callable[[Place], list[str]], list[str]] = {
    cancel: ["CANCELLED by 0", "COMPLETED"],
    warn: ["FAILED", "COMPLETED"],
    preempt: ["FAILED", "COMPLETED"],
    let_time_run_out: ["FAILED", "COMPLETED"],
    kill_node: ["NODE_FAIL", "COMPLETED"],
    kill_head: ["CANCELLED by 0", "COMPLETED"],
    two_copies: ["COMPLETED", "COMPLETED"],
    run_out_of_memory: ["FAILED 200M", "COMPLETED 400M"],
}
Outcome = Callable[[Callable[[Place], list[str]]], tuple[Place, list[str]]]


@pytest.fixture(scope="module")
def outcome(cluster: Cluster, local: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Let all faults happen; give the outcome of one."""
    places = {}
    for fault in FAULTS:
        folder = tmp_path_factory.mktemp(fault.__name__) / "checkout"
        shutil.copytree(local, folder, symlinks=True)
        (folder / MODEL).unlink()
        places[fault] = Place(folder, cluster)
    with ThreadPoolExecutor(len(FAULTS)) as pool:
        started: dict[object, Future[list[str]]] = {
            fault: pool.submit(fault, place) for fault, place in places.items()
        }
    return lambda fault: (places[fault], started[fault].result())


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_run_survives(outcome: Outcome, local: Path, fault: Callable[[Place], list[str]]) -> None:
    place, states = outcome(fault)
    same = digests(place.folder / "results") == digests(local / "results")
    report(f"{fault.__name__}: jobs {', '.join(states)}{'; equal bytes' if same else ''}")
    assert states == FAULTS[fault]
    assert same or fault is run_out_of_memory
