"""Files carry the configuration of all steps behind them."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from openecg.__main__ import main
from openecg.files import write_tsv
from openecg.made import BEHIND, made_by, metadata_path, note_of, steps_behind
from openecg.show import describe
from openecg.splits import draw_folds
from openecg.stage2.checkpoint import write_tensors

FRAME = pd.DataFrame(
    {"dataset": ["ludb"], "split": ["validation"], "system": ["nk_dwt"], "seed": [""], "f1": [0.5]}
)


def test_a_table_carries_the_configuration_of_all_steps_behind_it(tmp_path: Path) -> None:
    setting = {"model": {"d_model": 64}}
    models = [tmp_path / f"{seed}.safetensors" for seed in (0, 1)]
    for seed, model in enumerate(models):
        with made_by("train", draw_folds, {"seed": seed, "scheme": "held_out"}):
            write_tensors({"w": torch.zeros(2)}, {"name": "F", "setting": setting}, model)
    scores = [tmp_path / f"{seed}.tsv" for seed in (0, 1)]
    for model, table in zip(models, scores, strict=True):
        with made_by("score-frames", draw_folds, {"bootstrap": 100, "model": model}):
            write_tsv(FRAME, table)
    behind = steps_behind(scores, step="collect-metrics")
    assert json.dumps(behind) == json.dumps(steps_behind(scores[::-1], step="collect-metrics"))
    assert behind == {
        "score-frames": {"bootstrap": [100]},
        "train": {"scheme": ["held_out"], "seed": [0, 1], "setting": [{"F": setting}]},
    }
    final = tmp_path / "final.tsv"
    inputs = [*scores, tmp_path / "absent.tsv"]
    with made_by("collect-metrics", draw_folds, {"tables": inputs}):
        write_tsv(FRAME, final)
    assert note_of(final)["options"] == {BEHIND: behind}
    shown = " ".join(describe(final, width=200, colour=False))
    assert (
        'train: scheme "held_out", seed 0 | 1, setting {"F": {"model": {"d_model": 64}}}' in shown
    )
    assert "score-frames: bootstrap 100" in shown


def test_a_step_is_not_behind_what_it_makes_again_and_part_numbers_are_left_out(
    tmp_path: Path,
) -> None:
    for number in range(3):
        with made_by("read-records", draw_folds, {"part": number, "layout": "ludb"}):
            write_tsv(FRAME, tmp_path / f"{number}.tsv")
    inputs = [tmp_path / f"{number}.tsv" for number in range(3)]
    assert steps_behind(inputs, step="score") == {"read-records": {"layout": ["ludb"]}}
    assert steps_behind(inputs, step="read-records") == {}


def test_a_step_that_is_run_notes_what_stands_behind_its_inputs(tmp_path: Path) -> None:
    table, collected = tmp_path / "scores.tsv", tmp_path / "collected.tsv"
    with made_by("score-frames", draw_folds, {"bootstrap": 100}):
        write_tsv(FRAME, table)
    assert main(["collect-metrics", "--tables", str(table), "--table", str(collected)]) == 0
    again = ["collect-metrics", "--tables", str(table), "--table", str(collected)]
    collected.unlink()  # as Snakemake does before a job, which leaves the metadata
    assert main(again) == 0
    assert note_of(collected)["options"] == {BEHIND: {"score-frames": {"bootstrap": [100]}}}


@pytest.mark.parametrize(
    "options", [[], {BEHIND: 3}, {BEHIND: {"train": 3}}, {BEHIND: {"a": {"b": 3}}}]
)
def test_a_foreign_note_is_none(tmp_path: Path, options: object) -> None:
    table = tmp_path / "table.tsv"
    with made_by("draw", draw_folds, {}):
        write_tsv(FRAME, table)
    beside = metadata_path(table)
    content = json.loads(beside.read_text())
    assert note_of(table)
    content["made_by"]["options"] = options
    beside.write_text(json.dumps(content))
    assert note_of(table) == {}
    assert steps_behind([table], step="score") == {}
    assert describe(table, width=80, colour=False)
