"""Bad input ends a step with one line that says what is wrong, and with nothing half-written."""

from pathlib import Path

import pytest

from tests.unit.bad_input_cases import ACCEPTED, CASES, Case, Outcome, run_case, tree

SPAWNED = ("zip: cut short", "WFDB: flat lead", "checkpoint: pickle")


def check_refused(case: Case, outcome: Outcome, folder: Path) -> None:
    assert outcome.code == 1, outcome.log
    assert len(outcome.errors) == 1, outcome.log
    line = outcome.errors[0]
    for words in case.says:
        assert words in line
    assert line.isprintable()
    assert "Traceback" not in outcome.log
    assert set(tree(folder / "out")) == {str(path) for path in outcome.written}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_is_refused_in_one_line(case: Case, tmp_path: Path) -> None:
    check_refused(case, run_case(case, tmp_path), tmp_path)


@pytest.mark.parametrize("title", SPAWNED)
def test_is_refused_in_one_line_on_a_terminal(title: str, tmp_path: Path) -> None:
    case = next(case for case in CASES if case.title == title)
    check_refused(case, run_case(case, tmp_path, spawn=True), tmp_path)


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.title)
def test_is_accepted(case: Case, tmp_path: Path) -> None:
    outcome = run_case(case, tmp_path)
    assert outcome.code == 0, outcome.log
    assert outcome.errors == []
    for words in case.says:
        assert any(words in line for line in outcome.warnings)
    assert bool(case.says) == bool(outcome.warnings)
    assert all(path.exists() for path in outcome.written)
    assert not [path for path in tree(tmp_path) if path.endswith(".part")]
    assert case.accepted is not None
    case.accepted(tmp_path)


def test_the_table_is_long_enough() -> None:
    titles = {case.title for case in [*CASES, *ACCEPTED]}
    assert len(titles) == len(CASES) + len(ACCEPTED) >= 30
