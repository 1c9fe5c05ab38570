"""``make bench-scale``: what it asks the workflow for, and what it makes of the answers."""

import copy
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import scale
from openecg.__main__ import STEPS
from openecg.config import check_config
from openecg.made import NO_COMMIT, commit_of


def merged(low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    """Lay one configuration over another, as Snakemake does."""
    both = copy.deepcopy(low)
    for key, value in high.items():
        nested = isinstance(value, dict) and isinstance(both.get(key), dict)
        both[key] = merged(both[key], value) if nested else value
    return both


@pytest.mark.parametrize("times", [1, 10, 100])
def test_the_configuration_of_a_scale_is_valid_and_its_parts_are_of_one_size(times: int) -> None:
    config = merged(
        yaml.safe_load((scale.ROOT / "workflow_config.yaml").read_text()), scale.overlay(times)
    )
    check_config(config, scale.ROOT / "workflow_config.schema.yaml")
    spec = config["specs"][scale.DATASET]
    assert spec["simulate"]["records"] == 200 * times
    assert spec["simulate"]["records"] / spec["parts"] == 100
    assert spec["parts"] <= 999


def test_only_the_smallest_scale_fits_into_the_memory_of_a_training() -> None:
    mib = 12 * (2500 * 4 + 1024) / 2**20  # of a record
    assert 200 * mib < scale.overlay(1)["training_memory_mb"] < 0.8 * 2000 * mib


def measured(records: int, wall_s: float, **memory_mb: float) -> dict[str, Any]:
    times = {"records": records, "wall_s": wall_s, "dag_s": 2.0, "no_op_s": 3.0}
    return times | {"memory_mb": memory_mb, "cpu_s": dict.fromkeys(memory_mb, wall_s)}


def test_limits_are_kept_up_to_a_factor_of_1_2() -> None:
    smaller = measured(2000, 1000.0, train=500.0, score=100.0)
    rows, kept = scale.growth_rows(smaller, measured(20_000, 12_000.0, train=600.0, score=119.0))
    assert kept
    assert [row[-3] for row in rows[1:]] == ["1.20", "1.20", "1.19", "1.20"]
    for larger in (
        measured(20_000, 12_100.0, train=500.0, score=100.0),
        measured(20_000, 10_000.0, train=500.0, score=130.0),
    ):
        rows, kept = scale.growth_rows(smaller, larger)
        assert not kept
        assert [row[-1] for row in rows].count("NOT KEPT") == 1


def test_memory_is_that_of_the_largest_job_of_a_rule(tmp_path: Path) -> None:
    head = "s\th:m:s\tmax_rss\tmax_vms\tcpu_time\n"
    for name, rss, cpu in (("a/1", 10.5, 1), ("a/2", 12.25, 2), ("b", "NA", 4), ("c", 7, 8)):
        path = tmp_path / f"{name}.tsv"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{head}1\t0:00:01\t{rss}\t9\t{cpu}\n")
    high_water = tmp_path / "noted"
    found = scale.job_figures(tmp_path, high_water)
    assert found["memory_mb"] == {"a": 12.25, "c": 7}
    high_water.mkdir()
    (high_water / "a").write_text("1024\n1024\n")
    (high_water / "b").write_text("2048\n4096\n1024\n")
    (high_water / "of-no-rule").write_text("8192\n")
    found = scale.job_figures(tmp_path, high_water)
    assert found["memory_mb"] == {"a": 12.25, "b": 4, "c": 7}
    assert found["cpu_s"] == {"a": 3, "b": 4, "c": 8}
    (tmp_path / "score.tsv").write_text(f"{head}1\t0:00:01\t2\t9\t1\n")
    for command, noted in (("frames", 3), ("boundaries", 5), ("pacing", 9)):
        (high_water / f"score-{command}").write_text(f"{noted * 1024}\n")
    assert scale.job_figures(tmp_path, high_water)["memory_mb"]["score"] == 5


def test_commands_are_named_as_their_rules() -> None:
    for path in sorted((scale.ROOT / "rules").glob("*.smk")):
        for text in re.split(r"^rule ", path.read_text(), flags=re.M)[1:]:
            rule = text.partition(":")[0]
            for command in re.findall(r"python -m openecg ([\w{}.-]+)", text):
                expected = "score-{wildcards.scores}" if rule == "score" else rule.replace("_", "-")
                assert command == expected
    assert set(scale.SCORING) <= set(STEPS)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux knows it of a process")
def test_a_job_notes_the_largest_memory_it_had(tmp_path: Path) -> None:
    scale._run([sys.executable, "-m", "openecg", "list-runs", "--help"], tmp_path)
    (noted,) = (tmp_path / scale.HIGH_WATER).iterdir()
    assert noted.name == "list-runs"
    assert 5 * 1024 < int(noted.read_text()) < 1024 * 1024


def test_a_complete_run_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[str] = []
    failing = [True]

    def run(command: list[str], place: Path) -> float:
        ran.append("head" if "openecg.head" in command else command[-1])
        if ran[-1] == "head" and failing[0]:
            raise SystemExit("failed")
        folder = place / "results" / "benchmarks"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "a.tsv").write_text("max_rss\tcpu_time\n5\t1\n")
        return 2.0

    monkeypatch.setattr(scale, "_run", run)
    options = ["1", "--folder", str(tmp_path)]
    with pytest.raises(SystemExit, match="failed"):
        scale.main(options)
    failing[0] = False
    assert scale.main(options) == 0
    assert ran == ["--quiet", "head", "head", "2"]
    assert scale.main(["10", "1", "--folder", str(tmp_path)]) == 0
    assert ran == ["--quiet", "head", "head", "2", "--quiet", "head", "2"]
    printed = capsys.readouterr().out
    assert "limits: kept" in printed
    assert "20,000" not in printed


def test_figures_of_another_commit_are_refused(tmp_path: Path) -> None:
    place = tmp_path / "scale-1"
    place.mkdir()
    (place / "scale.yaml").write_text(yaml.safe_dump(scale.overlay(1)))
    assert commit_of(scale.ROOT / "openecg") != NO_COMMIT
    (place / scale.MEASURED).write_text('{"commit": "another"}')
    with pytest.raises(SystemExit, match="measured at commit another"):
        scale.measure(1, place, cores=1)


def test_what_was_measured_of_another_configuration_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scale.yaml").write_text("datasets: []")
    (tmp_path / scale.MEASURED).write_text("{}")
    old = tmp_path / scale.HIGH_WATER / "train"
    old.parent.mkdir()
    old.write_text("1024\n")
    monkeypatch.setattr(scale, "_run", lambda command, place: 1.0)
    scale.measure(1, tmp_path, cores=1)
    assert not old.exists()
