"""``make bench-no-op``: jobs and files of a plan, and a run with nothing to do."""

from pathlib import Path

from benchmarks import no_op

PLAN = """\
Building DAG of jobs...

localrule write_setting:
    output: results/settings/F.yaml
    jobid: 3

[Thu Jan  1 00:00:00 1970]
rule train:
    input: results/settings/F.yaml
    output: results/a/model.safetensors, results/a/history.tsv
    jobid: 2
"""


def test_jobs_and_files_are_read_from_the_plan() -> None:
    jobs, outputs = no_op.planned(PLAN)
    assert jobs == {"write_setting": 1, "train": 1}
    assert outputs == [
        "results/settings/F.yaml",
        "results/a/model.safetensors",
        "results/a/history.tsv",
    ]


def test_a_run_of_files_that_are_all_there_does_nothing(tmp_path: Path) -> None:
    rows = dict(no_op.measure(no_op.ROOT / "configs" / "tiny.yaml", tmp_path))
    assert int(rows["jobs in the DAG"]) > 50
    assert int(rows["files they make"].replace(",", "")) > 50
    assert float(rows["run with nothing to do, s"]) > 0
