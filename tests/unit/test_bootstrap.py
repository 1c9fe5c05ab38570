"""Rates, errors and their intervals, with answers worked out by hand or known from theory."""

import warnings

import numpy as np
import pytest

from openecg.bootstrap import (
    Floats,
    draw_records,
    estimate,
    mean_and_sd,
    percentiles,
    rates,
    rates_of,
    ratio,
)

NAN = np.nan


def estimated(counts: np.ndarray, *, bootstrap: int, seed: int) -> Floats:
    """F1, sensitivity and PPV of one seed: value, lower and upper limit of each target."""
    weights = draw_records(len(counts), bootstrap=bootstrap, seed=seed)
    sums = counts[None].astype(float)
    return np.moveaxis(estimate(sums, rates_of(sums), weights)[0], 0, -1)


def test_rates_by_hand_and_without_truth() -> None:
    got = rates(np.array([[6.0, 2, 4], [0, 3, 0], [0, 0, 5]]))
    np.testing.assert_allclose(got[0], [12 / 18, 6 / 10, 6 / 8])
    assert np.isnan(got[1]).all()  # no truth: no score, however many predictions
    np.testing.assert_array_equal(got[2], [0, 0, 0])
    np.testing.assert_allclose(got[3], got[[0, 2]].mean(axis=0))  # the mean leaves it out
    assert np.isnan(rates(np.zeros((2, 3)))).all()


def test_mean_and_sd_are_those_of_the_values() -> None:
    values = np.random.default_rng(0).normal(20, 8, 50)
    got = mean_and_sd(np.array([[50, values.sum(), (values**2).sum()], [0, 0, 0], [2, 14, 98]]))
    np.testing.assert_allclose(got[0], [values.mean(), values.std()])
    assert np.isnan(got[1]).all()
    np.testing.assert_array_equal(got[2], [7, 0])


def test_a_ratio_without_lower_part_is_unknown() -> None:
    got = ratio(np.array([[3.0, 2.0], [0.0, 4.0], [3.0, 0.0]]))
    np.testing.assert_array_equal(got, [1.5, 0, NAN])


@pytest.mark.parametrize("share_missing", [0, 0.02])
def test_percentiles_are_those_of_numpy(share_missing: float) -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(203, 4, 5))
    values[rng.random(values.shape) < share_missing] = NAN
    np.testing.assert_allclose(percentiles(values), np.nanpercentile(values, [2.5, 97.5], axis=0))
    values[:, 1, 2] = NAN
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(percentiles(values)[:, 1, 2]).all()


def test_intervals_are_deterministic_ordered_and_hold_the_value() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 50, size=(40, 6, 3))
    got = estimated(counts, bootstrap=500, seed=1)
    assert got.shape == (7, 3, 3)
    np.testing.assert_array_equal(got[..., 0], rates(counts.sum(axis=0).astype(float)))
    assert np.all(got[..., 1] < got[..., 0])
    assert np.all(got[..., 0] < got[..., 2])
    np.testing.assert_array_equal(got, estimated(counts, bootstrap=500, seed=1))
    assert not np.array_equal(got, estimated(counts, bootstrap=500, seed=2))
    macro_width, widths = np.ptp(got[-1, 0, 1:]), np.ptp(got[:-1, 0, 1:], axis=-1)
    assert macro_width < widths.mean()  # independent targets average out


def test_interval_of_a_sensitivity_is_that_of_a_binomial_share() -> None:
    hits = (np.arange(400) % 4 > 0).astype(int)  # one beat a record, three of four are found
    counts = np.stack([hits, np.zeros(400, int), 1 - hits], axis=1)[:, None]
    value, low, high = estimated(counts, bootstrap=4000, seed=3)[0, 1]
    half = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert value == 0.75
    assert low == pytest.approx(0.75 - half, abs=0.005)
    assert high == pytest.approx(0.75 + half, abs=0.005)


def test_interval_of_a_mean_is_that_of_its_standard_error() -> None:
    errors = np.random.default_rng(2).normal(5, 12, 400)  # one hit a record
    sums = np.stack([np.ones(400), errors, errors**2], axis=1)[None]
    weights = draw_records(400, bootstrap=4000, seed=3)
    (value, low, high), _ = np.moveaxis(estimate(sums, mean_and_sd, weights)[0], -1, 0)
    assert value == pytest.approx(errors.mean())
    half = 1.96 * errors.std() / 20
    assert (low, high) == (
        pytest.approx(value - half, abs=0.1),
        pytest.approx(value + half, abs=0.1),
    )


def test_intervals_resample_records_not_beats() -> None:
    spread = np.array([[[10, 0, 0]], [[0, 0, 10]]] * 20)  # all beats of a record, or none
    mixed = np.array([[[5, 0, 5]]] * 40)
    assert np.ptp(estimated(spread, bootstrap=500, seed=0)[0, 1, 1:]) > 0.25
    assert np.ptp(estimated(mixed, bootstrap=500, seed=0)[0, 1, 1:]) == 0


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for seed in range(200):
        share = rng.beta(8, 2, size=41)
        hits = rng.binomial(30, share)
        counts = np.stack([hits, np.zeros(41, int), 30 - hits], axis=1)[:, None]
        _, low, high = estimated(counts, bootstrap=300, seed=seed)[0, 1]
        covered += low <= 0.8 <= high
    assert 0.88 <= covered / 200 <= 0.99


@pytest.mark.parametrize(("n_records", "bootstrap"), [(1, 100), (5, 0)])
def test_no_interval_from_one_record_or_without_resamples(n_records: int, bootstrap: int) -> None:
    got = estimated(np.full((n_records, 2, 3), 4), bootstrap=bootstrap, seed=0)
    assert not np.isnan(got[..., 0]).any()
    assert np.isnan(got[..., 1:]).all()


def test_a_wave_of_one_record_has_no_interval() -> None:
    counts = np.zeros((8, 2, 3), dtype=np.int64)
    counts[:, 0] = [9, 1, 1]
    counts[0, 1] = [1, 0, 1]  # one record in eight has the second wave
    first, second, macro = np.isfinite(estimated(counts, bootstrap=200, seed=0))
    assert first.all()
    assert second[:, 0].all()
    assert not second[:, 1:].any()
    assert macro[:, 0].all()
    assert not macro[:, 1:].any()


def test_false_waves_count_in_resamples_without_a_true_one() -> None:
    counts = np.zeros((8, 1, 3), dtype=np.int64)
    counts[:, 0] = [0, 2, 0]
    counts[0, 0] = [9, 1, 1]
    value, low, high = estimated(counts, bootstrap=500, seed=0)[0, 0]
    assert low == 0  # in a third of the resamples the one record with waves is not drawn
    assert low < value < high


def test_the_mean_of_seeds_is_resampled_with_the_same_records_for_each() -> None:
    hits = np.random.default_rng(4).integers(0, 11, 60)
    one = np.stack([hits, 0 * hits, 10 - hits], axis=1)[:, None]
    other = np.stack([10 - hits, 0 * hits, hits], axis=1)[:, None]  # good where the first is bad
    weights = draw_records(60, bootstrap=500, seed=0)
    sums = np.stack([one, one, other]).astype(float)
    got = estimate(sums, rates, weights)[:, :, 0, 1]
    assert got.shape == (4, 3)
    np.testing.assert_array_equal(got[0], got[1])
    np.testing.assert_allclose(got[3, 0], got[:3, 0].mean())
    both = estimate(sums[[0, 2]], rates, weights)[:, :, 0, 1]
    assert np.ptp(both[0, 1:]) > 0.05
    np.testing.assert_allclose(both[2], 0.5)  # what one gains in a resample, the other loses
    alone = estimate(sums[:1], rates, weights)
    assert len(alone) == 1
    np.testing.assert_array_equal(alone[0, :, 0, 1], got[0])
