"""Scores with answers worked out by hand, and against slower ways to get them."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openecg.bootstrap import rates
from openecg.score import (
    ANNOTATED_SPAN,
    EDGE_FILTERED,
    FRAME_PROTOCOLS,
    FULL_WINDOW,
    PROTOCOLS,
    UNEXCUSED,
    StripWaves,
    absolute_percentiles,
    average_records,
    better_lead_errors,
    count_boundary,
    count_frames,
    match,
)
from openecg.tolerances import TOLERANCES
from openecg.waves import BOUNDARIES, IGNORE, QRS, P, T

NAN = np.nan


def pairs(
    truth: Sequence[float], pred: Sequence[float], tolerance_ms: float
) -> list[tuple[int, int]]:
    found = match(
        np.array(truth, dtype=float),
        np.zeros(len(truth), dtype=np.int64),
        np.array(pred, dtype=float),
        np.zeros(len(pred), dtype=np.int64),
        tolerance_ms=tolerance_ms,
    )
    return [(int(t), int(p)) for t, p in found]


def waves(*rows: tuple[int, int, float, float, float]) -> StripWaves:
    """Waves from (strip, kind, on, peak, off)."""
    table = np.array(rows, dtype=float).reshape(-1, 5)
    return StripWaves(
        strip=table[:, 0].astype(np.int64),
        kind=table[:, 1].astype(np.uint8),
        on_ms=table[:, 2],
        peak_ms=table[:, 3],
        off_ms=table[:, 4],
    )


def onsets(kind: int, *times: float, strip: int = 0) -> StripWaves:
    return waves(*((strip, kind, t, NAN, t + 80) for t in times))


def counts(
    boundary: str,
    truth: StripWaves,
    predicted: StripWaves,
    protocol: str,
    span: tuple[float, float] = (0, 10_000),
    tolerance_ms: float = 40,
) -> list[int]:
    scored = count_boundary(
        boundary,
        truth=truth,
        predicted=predicted,
        span_ms=np.array([span], dtype=float),
        p_unmarked=np.zeros(1, dtype=bool),
        tolerance_ms=tolerance_ms,
    )
    total: list[int] = scored.counts[PROTOCOLS.index(protocol)].sum(axis=0).tolist()
    return total


def test_tolerances_are_the_documented_ones() -> None:
    assert list(TOLERANCES["martinez"]) == list(BOUNDARIES)
    assert list(TOLERANCES["martinez"].values()) == [50, 50, 40, 40, 50, 100]
    assert set(TOLERANCES["150ms"].values()) == {150}


@pytest.mark.parametrize(
    ("truth", "pred", "expected"),
    [
        ([], [], []),
        ([100], [], []),
        ([], [100], []),
        ([100], [140], [(0, 0)]),  # the tolerance is inclusive
        ([100], [60], [(0, 0)]),
        ([100], [140.01], []),
        ([100], [90, 110], [(0, 0)]),  # as near: the earlier
        ([90, 110], [100], [(0, 0)]),
        ([100], [130, 110], [(0, 1)]),  # two predictions, one truth: the nearer
        ([100, 130], [110], [(0, 0)]),  # two truths, one prediction
        ([100, 130], [125, 128], [(0, 0), (1, 1)]),  # in time order the first would take 125
        ([100, 120], [118, 138], [(0, 1), (1, 0)]),  # crossing: 118 belongs to 120
        ([100, 100], [100, 100], [(0, 0), (1, 1)]),
        ([100, 200], [150], []),
        ([200, 100], [101, 199], [(0, 1), (1, 0)]),  # any order
    ],
)
def test_pairs_worked_out_by_hand(
    truth: list[float], pred: list[float], expected: list[tuple[int, int]]
) -> None:
    assert pairs(truth, pred, 40) == expected


@pytest.mark.parametrize(("fs_hz", "samples"), [(250, 10), (360, 18), (500, 75), (900, 36)])
def test_a_distance_of_the_tolerance_is_a_hit_at_every_rate(fs_hz: int, samples: int) -> None:
    tolerance_ms = samples * 1000 / fs_hz
    for at in range(500):
        truth, pred = [at * 1000 / fs_hz], [(at + samples) * 1000 / fs_hz]
        assert pairs(truth, pred, tolerance_ms) == pairs(pred, truth, tolerance_ms) == [(0, 0)]


def test_nothing_matches_across_strips() -> None:
    truth, pred = np.array([9_990.0, 5.0]), np.array([5.0, 9_990.0])
    found = match(truth, np.array([0, 1]), pred, np.array([1, 0]), tolerance_ms=150)
    np.testing.assert_array_equal(found, [[0, 1], [1, 0]])
    assert not len(match(truth, np.array([0, 1]), pred, np.array([0, 1]), tolerance_ms=150))


times = st.lists(st.integers(0, 300), max_size=7)


@given(times, times, st.integers(0, 60))
def test_pairs_are_those_of_a_list_of_all_distances(
    truth: list[int], pred: list[int], tolerance_ms: int
) -> None:
    close = [
        (abs(t - p), min(t, p), i, j)
        for (i, t), (j, p) in itertools.product(enumerate(truth), enumerate(pred))
        if abs(t - p) <= tolerance_ms
    ]
    taken_truth, taken_pred, distances = set(), set(), []
    for distance, _, i, j in sorted(close):
        if i not in taken_truth and j not in taken_pred:
            taken_truth.add(i)
            taken_pred.add(j)
            distances.append(distance)
    found = pairs(truth, pred, tolerance_ms)
    assert len({t for t, _ in found}) == len({p for _, p in found}) == len(found)
    assert sorted(abs(truth[t] - pred[p]) for t, p in found) == distances


@given(st.lists(st.integers(0, 12), max_size=5, unique=True), times)
def test_no_pairing_has_more_pairs_where_waves_lie_apart(beats: list[int], pred: list[int]) -> None:
    truth = [beat * 25 for beat in beats]  # more than two tolerances of 12 apart
    best = 0
    for n in range(min(len(truth), len(pred)) + 1):
        for some in itertools.combinations(sorted(truth), n):
            options = itertools.combinations(sorted(pred), n)
            if any(max((abs(t - p) for t, p in zip(some, o, strict=True)), default=0) <= 12
                   for o in options):  # fmt: skip
                best = n
    assert len(pairs(truth, pred, 12)) == best


def test_the_protocols_differ_outside_the_span_only() -> None:
    truth = onsets(QRS, 2000, 3000)
    predicted = onsets(QRS, 500, 1990, 2500, 3010, 9000)
    span = (2000, 3080)
    assert counts("QRS_on", truth, predicted, FULL_WINDOW, span) == [2, 3, 0]
    # 1990 lies outside but matches, 2500 is wrong
    assert counts("QRS_on", truth, predicted, ANNOTATED_SPAN, span) == [2, 1, 0]
    assert counts("QRS_on", truth, predicted, EDGE_FILTERED, span) == [2, 1, 0]


@pytest.mark.parametrize(
    ("at", "edge_filtered", "unexcused"),
    [
        (1899, [0, 0, 1], [1, 0, 0]),
        (1900, [1, 0, 0], [1, 0, 0]),
        (3180, [0, 1, 1], [0, 0, 1]),
        (3181, [0, 0, 1], [0, 0, 1]),
    ],
)
def test_edges_are_filtered_100_ms_beyond_the_span(
    at: float, edge_filtered: list[int], unexcused: list[int]
) -> None:
    truth, found, span = onsets(QRS, 2000), onsets(QRS, at), (2000, 3080)
    for protocol, wanted in ((EDGE_FILTERED, edge_filtered), (UNEXCUSED, unexcused)):
        got = counts("QRS_on", truth, found, protocol, span, tolerance_ms=150)
        assert got == wanted, protocol


@pytest.mark.parametrize(("at", "false"), [(1999.9, 0), (2000, 1), (3080, 1), (3080.1, 0)])
def test_the_span_is_closed(at: float, false: int) -> None:
    truth = onsets(P, 2000, 3000)
    got = counts("P_on", truth, onsets(P, at), ANNOTATED_SPAN, (2000, 3080), tolerance_ms=-1)
    assert got == [0, false, 2]


def test_nothing_is_false_where_nothing_is_annotated() -> None:
    predicted = onsets(T, 1000)
    assert counts("T_on", waves(), predicted, ANNOTATED_SPAN, (NAN, NAN)) == [0, 0, 0]
    assert counts("T_on", waves(), predicted, FULL_WINDOW, (NAN, NAN)) == [0, 1, 0]


ONE_SIDED = waves((0, QRS, 1000, 1040, 1080), (0, T, NAN, 1300, 1400), (0, QRS, 2000, 2040, NAN))


@pytest.mark.parametrize(
    ("boundary", "at", "false"),
    [
        ("T_on", [1200], 0),
        ("T_on", [1080, 1300], 1),  # both may be the onset, but only one is
        ("T_on", [1200, 1250, 1290], 2),
        ("T_on", [1079], 1),  # before the mark that comes before
        ("T_on", [1301], 1),  # after the peak
        ("QRS_on", [1200], 1),  # another kind
        ("T_off", [1200], 1),  # the other side
        ("QRS_off", [2039], 1),
        ("QRS_off", [2100], 0),
        ("QRS_off", [2100, 2200], 1),
        ("QRS_off", [1500], 1),
    ],
)
def test_an_unmarked_boundary_is_excused_once_and_where_it_may_lie(
    boundary: str, at: list[float], false: int
) -> None:
    on, off = (at, [NAN] * len(at)) if boundary.endswith("on") else ([NAN] * len(at), at)
    kind = {"P": P, "QRS": QRS, "T": T}[boundary.split("_")[0]]
    predicted = waves(*((0, kind, a, NAN, b) for a, b in zip(on, off, strict=True)))
    for protocol, wrong in ((ANNOTATED_SPAN, false), (UNEXCUSED, len(at)), (FULL_WINDOW, len(at))):
        got = counts(boundary, ONE_SIDED, predicted, protocol, tolerance_ms=-1)
        assert got[:2] == [0, wrong], protocol


@pytest.mark.parametrize(("at", "false"), [([1100, 1100], 0), ([1100, 1150, 1200], 1), ([1100], 0)])
def test_two_regions_that_touch_excuse_one_each(at: list[float], false: int) -> None:
    truth = waves((0, P, 980, 1000, NAN), (0, P, NAN, 1100, NAN))
    predicted = waves(*((0, P, NAN, NAN, t) for t in at))
    assert counts("P_off", truth, predicted, ANNOTATED_SPAN) == [0, false, 0]


@pytest.mark.parametrize(
    ("strip", "at", "false"),
    [
        (0, 1140, 1),  # the T onset is marked there
        (1, 1140, 0),
        (1, 1120, 1),  # farther before the T end than T waves are long
        (2, 1140, 1),  # no T wave there
    ],
)
def test_an_excuse_holds_in_its_own_strip_only(strip: int, at: float, false: int) -> None:
    truth = waves((0, T, 1200, 1300, 1400), (1, T, NAN, 1300, 1400), (2, QRS, 1200, 1300, 1400))
    scored = count_boundary(
        "T_on",
        truth=truth,
        predicted=waves((strip, T, at, NAN, 1400)),
        span_ms=np.array([[0.0, 1400.0]] * 3),
        p_unmarked=np.zeros(3, dtype=bool),
        tolerance_ms=50,
    )
    counted = scored.counts[PROTOCOLS.index(ANNOTATED_SPAN)]
    np.testing.assert_array_equal(np.flatnonzero(counted[:, 1]), [strip] * false)
    np.testing.assert_array_equal(counted[:, 2], [1, 0, 0])


@pytest.mark.parametrize(("boundary", "excused"), [("P_on", 1), ("P_off", 1), ("QRS_on", 0)])
def test_where_no_p_is_marked_a_p_wave_is_no_error_in_the_span(boundary: str, excused: int) -> None:
    truth = waves((0, QRS, 500, 540, 580), (1, QRS, 500, 540, 580))
    called = waves(*((s, k, 100, 140, 180) for s in (0, 1) for k in (P, QRS)))
    scored = count_boundary(
        boundary,
        truth=truth,
        predicted=called,
        span_ms=np.array([[0.0, 1000.0]] * 2),
        p_unmarked=np.array([True, False]),
        tolerance_ms=40,
    )
    for protocol, counted in zip(PROTOCOLS, scored.counts, strict=True):
        first = 1 - excused * (protocol == ANNOTATED_SPAN)
        assert counted[:, 1].tolist() == [first, 1], protocol


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_perfect_prediction_scores_one(boundary: str) -> None:
    truth = waves(
        *((s, k, t + 200 * k, t + 200 * k + 40, t + 200 * k + 80)
          for s in range(3) for t in (1000, 2000) for k in (P, QRS, T))
    )  # fmt: skip
    scored = count_boundary(
        boundary,
        truth=truth,
        predicted=truth,
        span_ms=np.array([[1200.0, 2680.0]] * 3),
        p_unmarked=np.zeros(3, dtype=bool),
        tolerance_ms=TOLERANCES["martinez"][boundary],
    )
    np.testing.assert_array_equal(scored.counts, [[[2, 0, 0]] * 3] * len(PROTOCOLS))
    np.testing.assert_array_equal(scored.error_ms, np.zeros(6))
    np.testing.assert_array_equal(scored.error_strip, [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(rates(scored.counts.sum(axis=1).astype(float)), 1)


def test_errors_are_predicted_minus_true() -> None:
    scored = count_boundary(
        "QRS_on",
        truth=onsets(QRS, 1000, 2000, 3000),
        predicted=onsets(QRS, 1010, 1980, 3000),
        span_ms=np.array([[0.0, 9000.0]]),
        p_unmarked=np.zeros(1, dtype=bool),
        tolerance_ms=40,
    )
    np.testing.assert_array_equal(scored.error_ms, [10, -20, 0])
    assert absolute_percentiles(scored.error_ms) == (10, pytest.approx(19))
    assert np.isnan(absolute_percentiles(np.empty(0))).all()


def test_frames_counted_by_hand() -> None:
    truth = np.array([[0, 1, 1, 2, 2, 0, 3, IGNORE, IGNORE]], dtype=np.uint8)
    called = np.array([[1, 1, 0, 2, 2, 0, 3, 3, 0]], dtype=np.uint8)
    two, all_right = np.tile(truth, (2, 1)), np.where(truth == IGNORE, 0, truth)
    got = dict(zip(FRAME_PROTOCOLS, count_frames(two, np.vstack([called, all_right])), strict=True))
    right = [[2, 0, 0], [2, 0, 0], [1, 0, 0]]
    np.testing.assert_array_equal(got[ANNOTATED_SPAN], [[[1, 1, 1], [2, 0, 0], [1, 0, 0]], right])
    np.testing.assert_array_equal(got[FULL_WINDOW], [[[1, 1, 1], [2, 0, 0], [1, 1, 0]], right])


@pytest.mark.parametrize(
    ("truth", "called", "message"),
    [
        ([[0, 4]], [[0, 0]], "below 4"),
        ([[0, 0]], [[0, 255]], "below 4"),
        ([[0]], [[0, 0]], "shape"),
    ],
)
def test_labels_that_cannot_be_are_refused(
    truth: list[list[int]], called: list[list[int]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        count_frames(np.uint8(truth), np.uint8(called))


def test_each_point_takes_the_better_lead() -> None:
    truth = np.array([100.0, 1000.0, 2000.0, 3000.0])
    leads = [np.array([2004.0, 140.0, 1400.0]), np.array([92.0, 1401.0, 1996.0]), np.empty(0)]
    got = better_lead_errors(truth, leads, search_ms=400)
    np.testing.assert_array_equal(got, [-8, 400, 4, NAN])  # as near in two leads: the first
    assert not len(better_lead_errors(np.empty(0), leads, search_ms=400))


def test_records_count_the_same_whatever_their_length() -> None:
    errors = [
        np.array([0.0, 2.0]),
        np.array([10.0, 10.0, 10.0, NAN]),
        np.array([100.0]),
        np.empty(0),
    ]
    got = average_records(errors, min_points=2)
    assert (got.n_records, got.n_points, got.n_hits) == (2, 7, 6)
    assert got.sensitivity == pytest.approx(6 / 7)
    assert got.mean_ms == pytest.approx(5.5)
    assert got.sd_ms == pytest.approx(np.sqrt(2) / 2)
    every = average_records(errors, min_points=1)
    assert (every.n_records, every.mean_ms) == (3, pytest.approx(111 / 3))
    assert every.sd_ms == pytest.approx(np.sqrt(2) / 3)
    none = average_records([np.empty(0)], min_points=2)
    assert none.n_records == none.n_points == 0
    assert np.isnan([none.sensitivity, none.mean_ms, none.sd_ms]).all()
