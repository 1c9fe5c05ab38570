import numpy as np
import pytest

from openecg.selection import (
    SCOPES,
    in_scope,
    learnt_rows,
    schemes_of,
    scored_rows,
    split_name,
    tuning_fold,
)

SPLIT = np.array(["train"] * 10 + ["test"] * 5)
FOLD = np.arange(15) % 5


@pytest.mark.parametrize("scope", SCOPES)
def test_no_record_is_both_learnt_from_and_scored_and_all_of_the_scope_are_scored_once(
    scope: str,
) -> None:
    scored = np.zeros(15, dtype=int)
    for scheme in schemes_of(scope):
        learnt = learnt_rows(scheme, SPLIT, FOLD)
        scored += scored_rows(scheme, SPLIT, FOLD)
        assert not (learnt & scored_rows(scheme, SPLIT, FOLD)).any()
        assert learnt.any()
    wanted = [in_scope(scope, split) for split in SPLIT]
    assert scored.tolist() == [int(one) for one in wanted]


def test_held_out_records_are_learnt_from_only_where_all_are_scored() -> None:
    held_out = SPLIT == "test"
    for scheme in ("held_out", *schemes_of("tuning")):
        assert not learnt_rows(scheme, SPLIT, FOLD)[held_out].any()
    for scheme in schemes_of("tuning"):
        assert not scored_rows(scheme, SPLIT, FOLD)[held_out].any()
    assert learnt_rows("all0", SPLIT, FOLD)[held_out].sum() == 4


def test_names_of_what_is_scored() -> None:
    assert split_name("held_out", "validation") == "validation"
    assert split_name("all", "train") == "all"
    assert split_name("tuning", "train") == "tuning"


@pytest.mark.parametrize("fold", range(5))
def test_the_fold_that_picks_the_epoch_is_never_the_scored_one(fold: int) -> None:
    assert tuning_fold("held_out", fold) == fold
    for scheme in (*schemes_of("tuning"), *schemes_of("all")):
        chosen = tuning_fold(scheme, fold)
        rows = chosen == FOLD
        assert (rows & learnt_rows(scheme, SPLIT, FOLD)).any()
        assert not (rows & scored_rows(scheme, SPLIT, FOLD)).any()


@pytest.mark.parametrize("scheme", ["", "all", "all5", "tuning-1", "held_out0", "train"])
def test_unknown_schemes_are_refused(scheme: str) -> None:
    with pytest.raises(ValueError, match="unknown scheme"):
        learnt_rows(scheme, SPLIT, FOLD)
