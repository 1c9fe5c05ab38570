"""Which system another is compared with, and what is said of the difference."""

import pytest

from openecg.comparison import differences, reference_of

SETTINGS = {
    "F": {},
    "abstract": {"base": "F"},
    "C": {"base": "abstract"},
    "D": {"base": "C"},
}
DECODINGS = {"plain": {}, "original": {}, "shift": {"base": "original"}}


@pytest.mark.parametrize(
    ("system", "scored", "reference"),
    [
        ("D", ["F", "C", "D"], "C"),
        ("C", ["F", "C", "D"], "F"),  # not the one between, which is not scored
        ("F", ["F", "C"], ""),
        ("C+shift", ["C", "C+shift", "F+shift"], "C"),
        ("C+shift", ["C+shift", "F+shift", "F"], "F+shift"),
        ("C+shift", ["C+shift", "F"], ""),
        ("C+shift", ["C", "C+shift", "C+original"], "C+original"),
        ("C+original", ["C", "C+shift", "C+original"], "C"),
    ],
)
def test_the_reference_is_the_nearest_that_is_scored(
    system: str, scored: list[str], reference: str
) -> None:
    assert reference_of(system, scored, SETTINGS, DECODINGS) == reference


def test_differences_are_named_by_their_key_and_their_new_value() -> None:
    base = {"train_on": ["a"], "training": {"keep": "best", "epochs": 5}, "model": {"layers": 4}}
    other = {
        "train_on": ["a", "b"],
        "training": {"keep": "best", "epochs": 5, "average": None},
        "model": {"layers": 8, "offsets": True},
    }
    said = "model.layers 8, model.offsets true, train_on a b, training.average null"
    assert differences(other, base) == said
    assert differences(base, base) == ""
    assert differences({"refine": []}, {"refine": ["QRS"]}) == "refine none"
