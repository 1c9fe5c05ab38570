"""Kills, full and closed disks, two runs in one folder: the same tables come out in the end."""

import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest

from tests.runs import Run, steps
from tests.workflow.conftest import ROOT, Checkout
from tests.workflow.same import digests

pytestmark = pytest.mark.xdist_group("faults")

TINY = ("--cores", "2", "--configfile", "configs/tiny.yaml")
WRAPPED = ("openecg.head", "snakemake")  # as `make run` does
N_KILLS = 20
LOGS = ROOT / "test-logs"
TABLE = LOGS / "kills.tsv"


def wait_for_moment(run: Run, chance: random.Random, *, train_was_hit: bool) -> None:
    """Wait until some steps are done, or sometimes not at all, and then up to two seconds."""
    if chance.random() > 0.1:
        n_steps = chance.randint(0, 5)
        run.wait_for(lambda: run.has_finished(n_steps) or (run.is_training() and not train_was_hit))
    time.sleep(chance.uniform(0, 2))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for jobs in /proc")
def test_twenty_kills_change_nothing(fresh: Checkout, finished: Path) -> None:
    """Jobs and heads are killed with -9 at random moments, and the run is started again at once."""
    chance = random.Random(20)
    wanted = digests(finished / "results")
    results = fresh.root / "results"
    killed: Counter[str] = Counter()
    rows: list[dict[str, object]] = []
    began = time.monotonic()
    while len(rows) < N_KILLS:
        run = Run(fresh.root, *WRAPPED, *TINY)
        wait_for_moment(run, chance, train_was_hit=bool(killed["train"]))
        if not run.running():  # all done before the last kill: something is lost, and made again
            run.succeed()
            (results / "shards" / "simulated_isp" / "part-000.parquet").unlink()
            continue
        moment = round(time.monotonic() - began, 1)
        running = steps(fresh.root)
        # As many heads as jobs, and of the jobs rather those that were not hit yet.
        victim = min(running, key=lambda pid: (killed[running[pid]], pid), default=run.process.pid)
        if killed["head"] <= killed.total() / 2:
            victim = run.process.pid
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        run.end()
        if run.process.returncode == 0:  # the job had just ended
            continue
        killed[running.get(victim, "head")] += 1
        # Whatever bears a final name is whole.
        found = digests(results)
        kept = {
            name
            for name in found
            if not name.endswith("resume.safetensors")
            and not any(place.endswith(".part") for place in Path(name).parts)
        }
        assert {name: found[name] for name in kept} == {name: wanted[name] for name in kept}
        rows.append(
            {
                "kill": len(rows) + 1,
                "moment_s": moment,
                "killed": running.get(victim, "head"),
                "running": ", ".join(sorted(running.values())) or "(starting)",
                "files_kept": f"{len(kept)} of {len(wanted)}",
            }
        )
    Run(fresh.root, *WRAPPED, *TINY).succeed()
    same = digests(results)
    table = pd.DataFrame(rows)
    told = f"{sum(same.get(n) == d for n, d in wanted.items())} of {len(wanted)} files are equal"
    print(table.to_string(index=False), told, sep="\n")
    LOGS.mkdir(exist_ok=True)
    table.to_csv(TABLE, sep="\t", index=False)
    with TABLE.open("a") as file:
        print(f"# {told} to those of an undisturbed run", file=file)
    assert same == wanted
    assert (results / "report.html").read_text().rstrip().endswith("</html>")
    assert fresh.planned() == {}
    assert steps(fresh.root) == {}
    assert killed["train"]
    assert len(killed) >= 5


@pytest.fixture
def survived(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Note a fault that was survived, beside the kills; one line in a file of its own."""

    def note(what: str) -> None:
        LOGS.mkdir(exist_ok=True)
        name = re.sub(r"\W+", "_", request.node.name).strip("_")
        (LOGS / f"{name}.txt").write_text(f"{request.node.name}: {what}\n")

    return note


@pytest.fixture
def mount() -> Iterator[Callable[..., None]]:
    """Mount something for the time of a test, or skip it."""
    mounted: list[Path] = []

    def do(place: Path, *options: str) -> None:
        done = subprocess.run(["mount", *options, str(place)], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"cannot mount: {done.stderr.strip()}")
        mounted.append(place)

    yield do
    for place in reversed(mounted):
        subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_named_and_the_run_goes_on_when_there_is_room(
    fresh: Checkout,
    finished: Path,
    tmp_path: Path,
    mount: Callable[..., None],
    survived: Callable[[str], None],
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount(small, "-t", "tmpfs", "-o", "size=100m", "tmpfs")
    disk = Checkout(Path(shutil.copytree(fresh.root, small / "checkout")))
    # Room for the start, the zips and the records, and not for all shards.
    filler = small / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(small).free - 10_500_000))
    full = Run(disk.root, *WRAPPED, "shards", *TINY)
    assert "No space left on device" in full.end()
    assert full.process.returncode != 0
    said = [line for line in full.said().splitlines() if "No space left" in line]
    assert all(" ERROR openecg: results/" in line for line in said)
    assert "Traceback" not in full.said()
    assert list(disk.root.glob("results/**/.*.part")) == []
    filler.write_bytes(bytes(shutil.disk_usage(small).free + filler.stat().st_size - 1_000_000))
    refused = Run(disk.root, *WRAPPED, "shards", *TINY)
    assert "the disk is full (1 MB free)" in refused.end()
    assert len(refused.said().splitlines()) == 1
    filler.unlink()
    Run(disk.root, *WRAPPED, "shards", *TINY).succeed()
    made = digests(disk.root / "results" / "shards")
    assert made == digests(finished / "results" / "shards")
    survived(
        f"the disk full at {len(said)} steps; then {len(made)} of {len(made)} shards are equal"
    )


@pytest.mark.parametrize("command", [WRAPPED, ("snakemake",)], ids=["make run", "snakemake"])
def test_a_closed_results_folder_is_named(
    fresh: Checkout,
    mount: Callable[..., None],
    command: tuple[str, ...],
    survived: Callable[[str], None],
) -> None:
    results = fresh.root / "results"
    results.mkdir()
    if os.geteuid() == 0:  # whom permissions do not stop
        mount(results, "-t", "tmpfs", "-o", "ro", "tmpfs")
    else:
        results.chmod(0o555)
    run = Run(fresh.root, *command, *TINY)
    said = [line for line in run.end().splitlines() if str(results) in line]
    assert run.process.returncode != 0
    assert said
    assert "nothing can be written here" in said[-1]
    assert "Traceback" not in run.said()
    survived("refused in one line, nothing written")


@pytest.mark.parametrize("first", [WRAPPED, ("snakemake",)], ids=["make run", "snakemake"])
def test_a_second_run_in_a_folder_is_refused(
    fresh: Checkout, first: tuple[str, ...], survived: Callable[[str], None]
) -> None:
    one = Run(fresh.root, *first, "shards", *TINY)
    one.wait_for(lambda: one.has_finished(0))
    two = Run(fresh.root, *WRAPPED, "shards", *TINY)
    three = Run(fresh.root, "snakemake", "shards", *TINY)
    assert f"another run works in {fresh.root}: process {one.process.pid} on" in two.end()
    assert len(two.said().splitlines()) == 1
    assert two.process.returncode != 0
    assert "LockException" in three.end()
    assert three.process.returncode != 0
    assert one.running()
    assert fresh.run("--configfile", "configs/tiny.yaml", "-n", check=False).returncode == 0
    survived("two more runs refused, the first goes on")
    one.process.send_signal(signal.SIGINT)
    one.process.wait(60)
