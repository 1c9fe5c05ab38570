"""Which models get a card, and whose probabilities are checked."""

from tests.workflow.conftest import Checkout


def planned(checkout: Checkout, config: str) -> str:
    checkout.config = ("--configfile", f"configs/{config}.yaml")
    return checkout.make("--dry-run")


def test_the_models_of_the_project_have_cards_and_their_probabilities_are_checked(
    fresh: Checkout,
) -> None:
    plan = planned(fresh, "unet")
    for name in ("unet", "unet12"):
        assert f"output: results/metrics/calibration_{name}.tsv" in plan
    for name in ("unet", "unet12", "unet12_both"):
        assert f"output: results/model_cards/{name}.md" in plan


def test_probabilities_are_checked_where_offsets_are_counted_once(fresh: Checkout) -> None:
    plan = planned(fresh, "settings")
    assert "output: results/metrics/calibration_v12_reg+offsets.tsv" in plan
    assert "calibration_v12_reg+offsets_original.tsv" not in plan
