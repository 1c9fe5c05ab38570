"""The whole simulated run on SLURM: the same bytes as on a laptop, in a handful of jobs."""

import re
from pathlib import Path

import pytest

from tests.runs import Run
from tests.slurm.cluster import Cluster
from tests.slurm.conftest import on_cluster, report
from tests.workflow.same import digests

FIELDS = (
    "JobID%5,Comment%42,Partition%4,NodeList%6,ReqTRES%46,Timelimit%9,Start%19,Elapsed%8,State%9"
)


@pytest.mark.slow
def test_a_run_on_slurm_gives_the_bytes_of_a_local_one(
    cluster: Cluster, remote: Run, local: Path
) -> None:
    took = re.search(r"^Elapsed time: (\S+)\.", remote.succeeded(), re.M)
    assert took
    table = cluster.run("sacct", "-X", f"--name={remote.name}", "-o", FIELDS)
    same, wanted = digests(remote.root / "results"), digests(local / "results")
    report(
        f"run on SLURM, beside the other tests: {took[1]}",
        cluster.run("sinfo", "-N", "-o", "%N %P %c %m %G %t"),
        table,
        f"{sum(same.get(name) == digest for name, digest in wanted.items())} of {len(wanted)}"
        f" files have the bytes of the local run",
    )
    assert same == wanted
    jobs = cluster.jobs("Comment", "Partition", "ReqTRES", "State", name=remote.name)
    assert {state for *_, state in jobs} == {"COMPLETED"}
    assert len(jobs) < 20  # of 64 steps
    trained = {partition for _, rule, partition, *_ in jobs if rule.startswith("rule_train")}
    assert trained == {"gpu"}
    with_gpu = {rule.split("_")[1] for _, rule, _, tres, _ in jobs if "gres/gpu" in tres}
    assert with_gpu == {"train"}
    before = cluster.jobs()
    on_cluster(remote.root, cluster).succeed()
    assert cluster.jobs() == before, "a second run gives no job"
