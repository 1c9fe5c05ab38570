"""The promise to users: a change reruns what depends on it, and nothing else."""

import hashlib
import os
import re
import shutil
import zipfile
from pathlib import Path

import pytest

from openecg.table_list import TABLES
from tests.workflow.conftest import Checkout

pytestmark = pytest.mark.xdist_group("workflow")

# The tiny run: 3 data sets in 2 + 1 + 1 parts, 2 baselines, 2 settings, 1 seed. Frames and
# boundaries are scored on all data sets, the classical protocol on simulated_qtdb only.
REPORT = {"write_report": 1}
CARDS = {"write_model_card": 2, **REPORT}
PRINTED = {"write_table": len(TABLES), **REPORT}
NUMBERS = {"tabulate_numbers": 1, **PRINTED, **CARDS}
STAGE1 = {"compare_streams": 1, "tabulate_stage1": 1}
COLLECTED = {"collect_metrics": 3, **STAGE1, **NUMBERS}
RUNS = {"list_runs": 1, **NUMBERS}
# On the first data set, simulated_ludb, models are timed beside NeuroKit.
TIMES = {"time_models": 1, **CARDS}
PACING = {"score_pacing": 1}
SCORED = {"score": 24 + 4, **COLLECTED}
SCORES = {"calibrate": 2, **SCORED}
MODELS = {
    **{"train": 2, "predict": 6, "decode": 6, "score": 12 + 2, "calibrate": 2},
    **RUNS,
    **TIMES,
    **COLLECTED,
}
ONE_MODEL = {
    **{"train": 1, "predict": 3, "decode": 3, "score": 6 + 1, "calibrate": 1},
    **RUNS,
    **TIMES,
    **COLLECTED,
}
TOKENS = {
    "write_tokens": 8,
    "predict_tokens": 6,
    "time_streams": 3,
    **TIMES,
    "score": 12 + 2,
    **COLLECTED,
}
WINDOWS = {"write_shard": 4, "write_tokens": 8, "predict_tokens": 6, **MODELS, **SCORES}
RECORDS = {"read_records": 4, "time_streams": 3, **PACING, **WINDOWS}
ISP = {
    "simulate": 1,
    "index_records": 1,
    "read_records": 1,
    "write_shard": 1,
    "write_tokens": 2,
    "predict_tokens": 2,
    "time_streams": 1,
    # C_simulated learns from simulated_isp; F_simulated and the baselines are scored on it.
    "train": 1,
    "predict": 3 + 1,
    "decode": 3 + 1,
    "score": 7 + 2 * 3,
    "calibrate": 2,
    **RUNS,
    **TIMES,
    **COLLECTED,
}
# Another choice of windows for simulated_qtdb; as for ISP, the models that learn from it are new.
QTDB_WINDOWS = {
    "write_shard": 1,
    "write_tokens": 2,
    "predict_tokens": 2,
    "train": 1,
    "predict": 3 + 1,
    "decode": 3 + 1,
    "score": 7 + 3 * 3,
    "calibrate": 2,
    **RUNS,
    **TIMES,
    **COLLECTED,
}
LUDB = {
    "read_records": 2,
    "write_shard": 2,
    "write_tokens": 4,
    "predict_tokens": 2,
    "time_streams": 1,
    **PACING,
    **MODELS,
    # C_simulated learns from simulated_ludb too, so every model is new; the NeuroKit rows of the
    # other two data sets stay.
    "score": 28 - 10,
}


def test_data_to_train_on_only_are_prepared_and_not_scored(fresh: Checkout) -> None:
    before = fresh.planned()
    fresh.edit("configs/tiny.yaml", "simulated_isp: {", "simulated_isp: {scored: false, ")
    fewer = {"write_tokens": 2, "predict_tokens": 2, "time_streams": 1}
    fewer |= {"predict": 2, "decode": 2, "score": 4 * 2}
    assert fresh.planned() == {rule: n - fewer.get(rule, 0) for rule, n in before.items()}


def test_systems_are_scored_where_records_have_their_leads(fresh: Checkout) -> None:
    before = fresh.planned()
    more = "train: [F_simulated, C_simulated, F_simulated+leads_6]"
    fresh.edit("configs/tiny.yaml", "training_threads: 1", f"training_threads: 1\n{more}")
    now = fresh.planned()
    added = {rule: now[rule] - before[rule] for rule in ("predict", "decode", "score")}
    # Records of simulated_qtdb have two leads.
    assert added == {"predict": 2, "decode": 2, "score": 2 * 2}


def test_trainings_take_turns_where_there_is_a_gpu(
    fresh: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked() -> set[str]:
        plan = fresh.make("--dry-run")
        trainings = re.findall(r"^rule train:\n(?: .*\n)+", plan, re.MULTILINE)
        assert len(trainings) == 2
        return {found for one in trainings for found in re.findall(r"gpu=\d", one)}

    if shutil.which("nvidia-smi") is None:
        assert asked() == {"gpu=0"}
    smi = tmp_path / "bin" / "nvidia-smi"
    smi.parent.mkdir()
    smi.write_text("#!/bin/sh\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(smi.parent), prepend=os.pathsep)
    assert asked() == {"gpu=1"}


def test_second_run_does_nothing(done: Checkout) -> None:
    assert done.planned() == {}


@pytest.mark.parametrize(
    ("path", "old", "new", "expected"),
    [
        ("openecg/shards.py", '"""', '"""Also: ', {}),
        (
            "openecg/shards.py",
            "log = ",
            "spare = 1\nlog = ",
            {"write_shard": 4, **MODELS, **SCORES},
        ),
        (
            "openecg/datasets/ludb.py",
            "FOLDER = ",
            "SPARE = 1\nFOLDER = ",
            {"index_records": 1, **LUDB},
        ),
        (
            "openecg/simulate.py",
            "log = ",
            "spare = 1\nlog = ",
            {"simulate": 3, "index_records": 3, "score_automatic": 1, **RECORDS},
        ),
        # What reads records takes the columns of the index from index.py.
        ("openecg/index.py", "log = ", "spare = 1\nlog = ", {"index_records": 3, **RECORDS}),
        ("openecg/records.py", "log = ", "spare = 1\nlog = ", RECORDS),
        (
            "openecg/pacing_table.py",
            "log = ",
            "spare = 1\nlog = ",
            {**PACING, "time_spikes": 1, "tabulate_stage1": 1, **REPORT},
        ),
        ("openecg/rulegraph.py", "log = ", "spare = 1\nlog = ", {"draw_rule_graph": 1, **REPORT}),
        ("openecg/labeler.py", "import numpy", "import math\nimport numpy", TOKENS),
        ("openecg/stage2/losses.py", "import torch", "import math\nimport torch", MODELS),
        ("openecg/stage2/conv_transformer.py", "from torch", "import math\nfrom torch", MODELS),
        (
            "openecg/score.py",
            "import numpy",
            "import math\nimport numpy",
            {"score_automatic": 1, **PACING, "time_spikes": 1, **SCORED},
        ),
        ("openecg/bootstrap.py", "import numpy", "import math\nimport numpy", SCORES),
        (
            "openecg/stage2/decode.py",
            "log = ",
            "spare = 1\nlog = ",
            {"decode": 6, "score": 12 + 2, "calibrate": 2, **TIMES, **COLLECTED},
        ),
        (
            "openecg/classical.py",
            "log = ",
            "spare = 1\nlog = ",
            {"score": 4, "collect_metrics": 1, **NUMBERS},
        ),
        (
            "openecg/stage2/calibration.py",
            "log = ",
            "spare = 1\nlog = ",
            {"calibrate": 2, **CARDS},
        ),
        ("openecg/stage2/runs.py", "log = ", "spare = 1\nlog = ", RUNS),
        ("openecg/numbers.py", "log = ", "spare = 1\nlog = ", NUMBERS),
        ("openecg/table_list.py", "GROUPS = ", "SPARE = 1\nGROUPS = ", PRINTED),
        ("openecg/model_card.py", "log = ", "spare = 1\nlog = ", CARDS),
        ("openecg/ablation.py", "log = ", "spare = 1\nlog = ", {**STAGE1, **REPORT}),
        ("openecg/plots.py", "import numpy", "import math\nimport numpy", REPORT),
        (
            "workflow_config.yaml",
            "dwt: {method: dwt, pacer: coincidence,",
            "dwt: {method: dwt, pacer: high_pass,",
            {
                "write_tokens": 4,
                "predict_tokens": 3,
                "time_streams": 3,
                "score": 6 + 1,
                **RUNS,
                **COLLECTED,
            },
        ),
        (
            "configs/tiny.yaml",
            "leads: 2",
            "leads: 3",
            {"time_streams": 3, **TIMES, **STAGE1},
        ),
        ("workflow_config.yaml", "training_memory_mb: 1500", "training_memory_mb: 1", MODELS),
        ("workflow_config.yaml", "window_s: 10", "window_s: 8", WINDOWS),
        ("workflow_config.yaml", "seed: 3", "seed: 4", ISP),
        (
            "workflow_config.yaml",
            "windows: {rule: cover}\n    split: {rule: record,",
            "windows: {rule: sliding, per_lead: 3, seed: 0}\n    split: {rule: record,",
            QTDB_WINDOWS,
        ),
        ("configs/tiny.yaml", "bootstrap: 50", "bootstrap: 60", SCORES),
        ("configs/tiny.yaml", "epochs: 1", "epochs: 2", {"write_setting": 1, **ONE_MODEL}),
        ("configs/tiny.yaml", "strips: 3", "strips: 4", REPORT),
        (
            "openecg/published.tsv",
            "0.492",
            "0.493",
            {"score_automatic": 1, "tabulate_stage1": 1, **NUMBERS},
        ),
        (
            "openecg/goals.tsv",
            "README of openecg",
            "The README of openecg",
            {"tabulate_stage1": 1, **REPORT},
        ),
        ("README.md", "", "More words.\n", {}),
    ],
    ids=[
        "docstring",
        "shards.py",
        "loader of one data set",
        "simulate.py",
        "index.py",
        "records.py",
        "pacing_table.py",
        "rulegraph.py",
        "labeler.py",
        "losses.py",
        "architecture",
        "score.py",
        "bootstrap.py",
        "decode.py",
        "classical.py",
        "calibration.py",
        "runs.py",
        "numbers.py",
        "list of tables",
        "model_card.py",
        "ablation.py",
        "plots.py",
        "spike detector of one stream",
        "leads that are timed",
        "memory of a training",
        "window length",
        "seed of one data set",
        "windows of one data set",
        "bootstrap",
        "epochs of one setting",
        "strips",
        "published numbers",
        "goals",
        "README",
    ],
)
def test_edit_reruns_only_what_depends_on_it(
    done: Checkout, path: str, old: str, new: str, expected: dict[str, int]
) -> None:
    done.edit(path, old, new)
    assert done.planned() == expected


def test_a_new_zip_reruns_what_was_read_from_it(done: Checkout) -> None:
    with zipfile.ZipFile(done.root / "results/simulated/simulated_ludb.zip", "a") as archive:
        archive.comment = b"another release"
    assert done.planned() == {"index_records": 1, **LUDB}


def test_a_deleted_shard_is_made_again_with_what_depends_on_it(done: Checkout) -> None:
    shard = done.root / "results/shards/simulated_isp/part-000.parquet"
    before = hashlib.sha256(shard.read_bytes()).hexdigest()
    shard.unlink()
    assert done.planned() == {
        "write_shard": 1,
        # C_simulated learns from it; F_simulated and the baselines are only scored on it.
        "train": 1,
        "predict": 3 + 1,
        "decode": 3 + 1,
        "score": 7 + 2 * 3,
        "calibrate": 2,
        **RUNS,
        **TIMES,
        **COLLECTED,
    }
    done.make()
    assert hashlib.sha256(shard.read_bytes()).hexdigest() == before
    assert done.planned() == {}


def test_every_job_makes_something_that_is_asked_for_by_name(done: Checkout) -> None:
    """Else what a failed job has lost would not be missed, and what was made from it be stale."""
    told = done.make("--dry-run", "--forceall")
    asked, made = set[str](), list[set[str]]()
    for rule, text in re.findall(r"^(?:local)?rule (\w+):\n((?: +.*\n)+)", told, re.MULTILINE):
        files = dict(re.findall(r"^ +(input|output): (.*)$", text, re.MULTILINE))
        if rule == "all":
            asked = set(files["input"].split(", "))
        else:
            made.append(set(files["output"].split(", ")))
    assert len(made) > 100
    assert [outputs for outputs in made if not outputs & asked] == []


def test_comparisons_and_grids_are_made_where_they_are_asked_for(done: Checkout) -> None:
    tables = {
        "compare_systems": "results/metrics/effects.tsv",
        "score_decoding_grid": "results/metrics/decoding_grid_F_simulated.tsv",
    }
    (done.root / "overlay.yaml").write_text(
        "train: [F_simulated, F_simulated+original]\n"
        "tuning: {systems: [F_simulated], folds: [0]}\n"
        "decoding_grid: [F_simulated]\n"
    )
    done.config = (*done.config, "overlay.yaml")
    planned = done.planned()
    assert {rule: planned[rule] for rule in tables} == dict.fromkeys(tables, 1)
    done.make(*tables.values())
    assert done.planned(*tables.values()) == {}
    for rule, module in (
        ("compare_systems", "effects"),
        ("score_decoding_grid", "stage2/decoding_grid"),
    ):
        done.edit(f"openecg/{module}.py", "log = ", "spare = 1\nlog = ")
        assert done.planned(*tables.values()) == {rule: 1}
        done.edit(f"openecg/{module}.py", "spare = 1\nlog = ", "log = ")


def test_a_setting_with_seeds_of_its_own_is_trained_once_more(done: Checkout) -> None:
    (done.root / "overlay.yaml").write_text("own_seeds: {F_simulated: [0, 1]}\n")
    done.config = (*done.config, "overlay.yaml")
    planned = done.planned()
    new = {rule: planned.get(rule) for rule in ("train", "predict", "decode", "score")}
    # The other setting stays as it is; scores hold all seeds of a system.
    assert new == {"train": 1, "predict": 3, "decode": 3, "score": 6 + 1}


def test_the_rule_graph_is_the_one_of_the_configuration(done: Checkout) -> None:
    figure = (done.root / "results/figures/rules.svg").read_text()
    assert "simulate" in figure
    assert "fetch" not in figure
    (done.root / "overlay.yaml").write_text("datasets: [simulated_ludb]\ntrain: [F_simulated]\n")
    overlays = ("--configfile", "configs/tiny.yaml", "overlay.yaml")
    done.run("results/figures/rules.svg", *overlays)
    figure = (done.root / "results/figures/rules.svg").read_text()
    assert re.search(r"\btrain\b", figure)
    assert "score_automatic" not in figure


def test_every_output_lies_where_the_readme_says(done: Checkout) -> None:
    for path in ("report.html", "metrics/frames.tsv", "metrics/boundaries.tsv"):
        assert (done.root / "results" / path).stat().st_size > 0
    left = [p for p in Path(done.root / "results").rglob("*") if ".part" in p.suffixes]
    assert left == []
