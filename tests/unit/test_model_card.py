"""A card says of a model what the tables say, and names what it learnt from."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from openecg.errors import DataError
from openecg.files import read_tsv, write_tsv
from openecg.model_card import write_model_card
from openecg.numbers import tabulate_numbers
from openecg.stage2.calibration import COLUMNS as CALIBRATION
from tests.unit.made_up_numbers import SOURCES, write_scores
from tests.unit.made_up_shards import UNET
from tests.unit.test_runs import checkpoint

SYSTEMS = {"nk_original": "", "F": "0", "F+original": "0"}


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Any]:
    scores, runs = write_scores(tmp_path, systems=SYSTEMS)
    tabulate_numbers(scores=scores, runs=runs, sources=SOURCES, table=tmp_path / "numbers.tsv")
    _add_numbers(tmp_path / "numbers.tsv")
    cost = {"dataset": "ludb", "system": ["nk_dwt", "F", "G"], "leads": 1}
    cost |= {"ms_per_lead": [25.0, 4.25, 9.99], "share_of_nk_dwt": [1, 0.17, 0.4]}
    write_tsv(pd.DataFrame(cost), tmp_path / "times.tsv")
    row = {"dataset": "ludb", "split": "validation", "level": "wave", "target": "P", "bin": "all"}
    row |= {"system": "F"}
    row |= {"error": 0.0123, "error_lo": 0.01, "error_hi": 0.02, "false_share": 0.0456, "n": 321}
    row |= {"n_records": 41, "n_seeds": 1}
    rows = [row, row | {"bin": "0.3-0.4", "error": 0.9}, row | {"system": "F+original", "n": 98765}]
    write_tsv(pd.DataFrame(rows, columns=CALIBRATION), tmp_path / "calibration.tsv")
    return {
        "setting": "F",
        "model": checkpoint(tmp_path)[0],
        "numbers": tmp_path / "numbers.tsv",
        "runs": runs,
        "decoding": '{"min_run_ms": 60}',
        "calibrations": [tmp_path / "calibration.tsv"],
        "timings": [tmp_path / "times.tsv"],
        "card": tmp_path / "F.md",
    }


def _add_numbers(path: Path) -> None:
    """Add what the made-up scores lack: the other protocols, the range of the seeds."""
    numbers = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    paced = (numbers["record_group"] == "paced") & (numbers["protocol"] == "annotated_span")
    strict = numbers[paced].assign(protocol="annotated_span_unexcused", value="0.6543")
    points = numbers[(numbers["target"] == "T_off") & (numbers["lead_group"] == "all")]
    points = points[points["metric"].isin(["mean_ms", "sd_ms", "sensitivity"])]
    classical = {"protocol": "better_lead_record_averaged", "lead_group": "better"}
    points = points[points["record_group"] == "all"].drop_duplicates(["system", "metric"])
    points = points.assign(dataset="qtdb", **classical)
    is_macro = (numbers["target"] == "macro") & (numbers["metric"] == "f1")
    numbers.loc[is_macro, ["min", "max"]] = ["0.7111", "0.7999"]
    write_tsv(pd.concat([numbers, strict, points]), path)


def written(inputs: dict[str, Any]) -> str:
    write_model_card(**inputs)
    return str(inputs["card"].read_text())


def test_the_card_has_the_numbers_of_this_model_only(inputs: dict[str, Any]) -> None:
    card = written(inputs)
    assert card.startswith("# Model card: F\n")
    assert "nk_original" not in card
    assert "`openecg/stage2/conv_transformer.py`" in card
    assert "Decoding: runs of the most probable class, `min_run_ms` 60 (explained" in card
    assert "strips of 0.8 s at 250 Hz" in card
    assert "| F | ludb | validation | all | annotated_span | 41 | 1 |" in card
    assert "| F | ludb | validation | P_on | 0.800 [0.700, 0.900] |" in card
    assert "| 0.711 to 0.800 |\n" in card
    assert "| F | ludb | validation | paced | all | annotated_span | 41 |" in card
    assert "| F | ludb | validation | paced | all | annotated_span_unexcused | 41 | 0.654 " in card
    assert "| F | qtdb | validation | T_off | -0.0 [-1.0, 1.0] | 9.1 | 0.850 |" in card
    by_lead = card.partition("### Lead by lead")[2].partition("###")[0]
    assert by_lead.count("| F | ludb | validation | 0.740 [0.700, 0.900] | 0.740") == 1
    assert (
        "| F | ludb | validation | wave | P | 321 | 41 | 1 | 0.012 [0.010, 0.020] | 0.046 |" in card
    )
    assert "| ludb | F | 1 | 4.25 | 0.17 |" in card
    assert "9.99" not in card
    assert "0.900" not in card.partition("probabilities true")[2].partition("###")[0]


def test_every_table_has_cells_for_all_its_columns(inputs: dict[str, Any]) -> None:
    for block in re.findall(r"(?:^\|.*\n)+", written(inputs), re.M):
        assert len({line.count(" | ") for line in block.splitlines()}) == 1


def test_other_decodings_have_one_table_of_their_own(inputs: dict[str, Any]) -> None:
    before, title, after = written(inputs).partition("### Decoded otherwise")
    assert title
    assert "F+original" not in before
    assert "98765" not in before
    assert "| F+original | ludb | validation | all | annotated_span | 41 | 1 |" in after
    assert "| F | " not in after


def test_limits_are_of_all_that_it_learnt_from_or_is_scored_on(inputs: dict[str, Any]) -> None:
    limits = written(inputs).partition("## Limits")[2]
    assert "QTDB marks about 30 beats" in limits
    assert "LUDB does not mark" in limits
    numbers = pd.read_csv(inputs["numbers"], sep="\t", dtype=str, keep_default_na=False)
    write_tsv(numbers[numbers["dataset"] == "ludb"], inputs["numbers"])
    assert "QTDB" not in written(inputs).partition("## Limits")[2]


def test_what_was_not_measured_is_said(inputs: dict[str, Any]) -> None:
    card = written(inputs | {"calibrations": [], "timings": []})
    assert card.count("Not measured: ") == 2
    of_others = inputs["timings"][0]
    write_tsv(read_tsv(of_others).query("system != 'F'"), of_others)
    assert "Not measured: " in written(inputs)
    assert "nk_dwt" not in written(inputs)


def test_a_setting_that_is_scored_with_another_decoding_only_has_a_card(
    inputs: dict[str, Any],
) -> None:
    for name in ("numbers", "runs"):
        table = pd.read_csv(inputs[name], sep="\t", dtype=str, keep_default_na=False)
        write_tsv(table[table["system"] != "F"], inputs[name])
    card = written(inputs)
    assert "| F+original | ludb | validation | P_on |" in card
    assert card.partition("### Decoded otherwise")[2].startswith("\n\nNot scored.\n")


def test_what_held_out_records_had_a_part_in_is_said(
    inputs: dict[str, Any], tmp_path: Path
) -> None:
    card = written(inputs)
    assert "Exceptions: counting P waves as unmarked where none is marked came after" in card
    checkpoint(tmp_path, augmentation={"p_waves": 0.5})
    card = written(inputs | {"decoding": '{"min_p_share": 0.5}'})
    assert "(`min_p_share`), the augmentations `spikes` and `p_waves` came after" in card
    assert "prototype" not in card
    assert "likeliest" not in card
    moved = written(inputs | {"decoding": '{"likeliest": ["P", "T"]}'})
    assert "(`likeliest`) was chosen" in moved
    assert "; each boundary of P and T is put where" in moved
    checkpoint(tmp_path, scheme="all0", model=UNET)
    card = written(inputs)
    assert "prototype" in card
    assert "were put back to those" not in card
    assert "last epoch: those of all folds but the scored one\n" in card
    checkpoint(tmp_path, train_on="qtdb_density", model=UNET)
    assert "were put back to those" in written(inputs)
    checkpoint(tmp_path, train_on="simulated_ludb")
    assert "Exceptions" not in written(inputs)


def test_a_model_without_numbers_has_no_card(inputs: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="no numbers of 'G'"):
        written(inputs | {"setting": "G"})
    assert not inputs["card"].exists()
