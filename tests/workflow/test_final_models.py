"""What is said of the models that the project is for."""

import pytest

from tests.workflow.conftest import Checkout


@pytest.fixture
def planned(fresh: Checkout) -> str:
    fresh.config = ("--configfile", "configs/unet.yaml")
    return fresh.make("--dry-run")


def test_the_models_of_the_project_have_cards_and_their_probabilities_are_checked(
    planned: str,
) -> None:
    for name in ("unet", "unet12"):
        assert f"output: results/metrics/calibration_{name}.tsv" in planned
    for name in ("unet", "unet12", "unet12_short", "unet12_both"):
        assert f"output: results/model_cards/{name}.md" in planned
