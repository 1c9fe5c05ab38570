import numpy as np
import pytest

from openecg.splits import (
    draw_folds,
    held_out_as_published,
    held_out_by_record,
    held_out_by_rhythm,
    id_order,
)

IDS = [str(i) for i in range(1, 101)]
RHYTHMS = ["sinus"] * 60 + ["flutter"] * 30 + ["rare"] * 10


def test_ids_are_ordered_as_numbers_only_if_all_are_numbers() -> None:
    assert id_order(["10", "9", "1"]) == [2, 1, 0]
    assert id_order(["sel9", "10", "1"]) == [0, 1, 2]


def test_each_rhythm_gives_its_share() -> None:
    mask = held_out_by_rhythm(IDS, RHYTHMS, fraction=0.2, seed=0)
    for rhythm, expected in (("sinus", 12), ("flutter", 6), ("rare", 2)):
        assert mask[np.array(RHYTHMS) == rhythm].sum() == expected


def test_the_draw_depends_on_the_seed_and_not_on_the_order_of_the_list() -> None:
    def held_out(ids: list[str], rhythms: list[str], seed: int) -> set[str]:
        mask = held_out_by_rhythm(ids, rhythms, fraction=0.2, seed=seed)
        return {record_id for record_id, out in zip(ids, mask, strict=True) if out}

    assert held_out(IDS, RHYTHMS, 0) == held_out(IDS[::-1], RHYTHMS[::-1], 0)
    assert held_out(IDS, RHYTHMS, 0) != held_out(IDS, RHYTHMS, 1)


def test_plain_draw_takes_the_fraction() -> None:
    mask = held_out_by_record(IDS, fraction=0.25, seed=3)
    assert mask.sum() == 25
    np.testing.assert_array_equal(mask, held_out_by_record(IDS, fraction=0.25, seed=3))
    assert not np.array_equal(mask, held_out_by_record(IDS, fraction=0.25, seed=4))
    assert held_out_by_record(IDS, fraction=1, seed=3).all()
    assert not held_out_by_record(IDS, fraction=0, seed=3).any()


def test_published_split_is_taken_as_it_is() -> None:
    np.testing.assert_array_equal(held_out_as_published(["train", "test"]), [False, True])
    with pytest.raises(ValueError, match="publishes split None; allowed are train, test"):
        held_out_as_published(["train", None])


def test_refuses_what_would_not_split() -> None:
    for fraction in (-0.1, 1.1):
        with pytest.raises(ValueError, match="must lie between 0 and 1"):
            held_out_by_record(IDS, fraction=fraction, seed=0)
    with pytest.raises(ValueError, match="holds out 0 of 2 records"):
        held_out_by_record(["1", "2"], fraction=0.2, seed=0)
    with pytest.raises(ValueError, match="holds out 2 of 2 records"):
        held_out_by_rhythm(["1", "2"], ["a", "b"], fraction=0.9, seed=0)
    with pytest.raises(ValueError, match="record 2 has no rhythm"):
        held_out_by_rhythm(["1", "2"], ["a", ""], fraction=0.5, seed=0)


@pytest.mark.parametrize("n_held_out", [0, 1, 41, 200])
def test_folds_are_balanced_in_each_group(n_held_out: int) -> None:
    mask = np.zeros(200, dtype=bool)
    mask[np.random.default_rng(0).permutation(200)[:n_held_out]] = True
    folds = draw_folds(mask, seed=1)
    assert folds.dtype == np.int32
    for group in (folds[mask], folds[~mask]):
        sizes = np.bincount(group, minlength=5)
        assert sizes.size == 5
        assert np.ptp(sizes) <= 1
    np.testing.assert_array_equal(folds, draw_folds(mask, seed=1))
    assert not np.array_equal(folds, draw_folds(mask, seed=2))
