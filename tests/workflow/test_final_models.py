"""Which models get a card, and whose probabilities are checked."""

import json
import re

from tests.workflow.conftest import Checkout


def planned(checkout: Checkout, config: str, *options: str) -> str:
    checkout.config = ("--configfile", f"configs/{config}.yaml")
    return checkout.make("--dry-run", *options)


def test_the_models_of_the_project_have_cards_and_their_probabilities_are_checked(
    fresh: Checkout,
) -> None:
    plan = planned(fresh, "unet")
    for name in ("unet", "unet12"):
        assert f"output: results/metrics/calibration_{name}.tsv" in plan
    for name in ("unet", "unet12", "unet12_both"):
        assert f"output: results/model_cards/{name}.md" in plan
    for name in ("unet12", "unet12_both"):
        assert f"output: results/checkpoints/{name}/all0-seed0/model.safetensors" in plan


def test_probabilities_are_checked_where_offsets_are_counted_once(fresh: Checkout) -> None:
    plan = planned(fresh, "settings")
    assert "output: results/metrics/calibration_v12_reg+offsets.tsv" in plan
    assert "calibration_v12_reg+offsets_original.tsv" not in plan


def test_a_card_explains_the_decoding_that_its_tables_are_of(fresh: Checkout) -> None:
    fresh.edit("configs/ludb.yaml", "train: [", "train: [other+original, F+shift, ")
    fresh.edit("configs/ludb.yaml", "datasets:", "settings: {other: {base: F}}\ndatasets:")
    plan = planned(fresh, "ludb", "--printshellcmds")
    cards = dict(re.findall(r"write-model-card --setting (\S+) .*--decoding '(.*?)'", plan))
    assert json.loads(cards["other"]) == {"min_run_ms": 60, "merge_gap_ms": 200}
    assert json.loads(cards["F"]) == {}
