"""``make bench`` runs through, and says by its exit code whether the limits are kept."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from benchmarks import bench
from openecg.simulation import KINDS, simulate_strip


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    streams = {"fast": {"method": "prominence", "pacer": "coincidence", "grid": "nearest"}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"streams": streams}))
    monkeypatch.setattr(bench, "CONFIG", tmp_path / "config.yaml")
    monkeypatch.setattr(bench, "SHARD_LEADS", 20)
    monkeypatch.setattr(bench, "CODEC_ROUNDS", 2)
    monkeypatch.setattr(bench, "MOST_ROUNDS", 4)
    for name in ("scoring_rows", "reading_rows", "training_rows"):
        monkeypatch.setattr(bench, name, lambda *_: ([["what"], ["nothing"]], True))
    strip = simulate_strip(
        KINDS[0],
        leads=("I", "II"),
        fs_hz=500.0,
        n_samples=5000,
        scatter=False,
        rng=np.random.default_rng(0),
    ).signal
    monkeypatch.setattr(bench, "simulated_strips", lambda leads: [strip])


@pytest.mark.parametrize(
    ("name", "limit", "code", "verdict"),
    [
        ("MOST_RATIO", 99.0, 0, "limits: kept"),
        ("MOST_RATIO", 0.01, 1, "limits: NOT KEPT"),
        ("LEAST_LEADS_PER_S", 10**7, 1, "limits: NOT KEPT"),
    ],
)
def test_the_exit_code_says_whether_the_limits_are_kept(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    limit: float,
    code: int,
    verdict: str,
) -> None:
    monkeypatch.setattr(bench, "MOST_RATIO", 99.0)
    monkeypatch.setattr(bench, name, limit)
    assert bench.main(["--seconds", "0.1"]) == code
    printed = capsys.readouterr().out
    assert verdict in printed
    assert "decode, whole shard" in printed
    assert "fast " in printed
    assert all(len(line) < bench.WIDTH for line in printed.splitlines())


def test_a_slow_table_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "MOST_RATIO", 99.0)
    monkeypatch.setattr(bench, "reading_rows", lambda *_: ([["what"], ["nothing"]], False))
    assert bench.main(["--seconds", "0.1"]) == 1


def test_some_tables_may_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--only", "training", "scoring"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("nothing") == 2
    assert "decode, whole shard" not in printed
    assert "fast " not in printed
    with pytest.raises(SystemExit) as left:
        bench.main(["--only", "trainings"])
    assert left.value.code == 2


def test_the_streams_of_the_workflow_are_timed() -> None:
    config = Path(bench.__file__).parents[1] / "workflow_config.yaml"
    assert "original" in yaml.safe_load(config.read_text())["streams"]
