from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openecg.errors import ConfigError, DataError
from openecg.waves import NOT_MARKED, QRS, P, T, Waves, annotated_span, pair_marks
from openecg.windows import WindowRule, cut_windows, waves_in_window

COVER = WindowRule("cover")
CENTRE = WindowRule("centre")
DENSITY = WindowRule("density")
SLIDING = WindowRule("sliding", per_lead=10, seed=0)


def beats(*at: int) -> Waves:
    """QRS complexes of 21 samples around the given positions."""
    peak = np.array(at, dtype=np.int64)
    return Waves(np.full(len(at), QRS, np.uint8), peak - 10, peak, peak + 10)


def cut(
    waves: Waves,
    rule: WindowRule = COVER,
    record_id: str = "sel1",
    window_s: float = 10.0,
    **lead: Any,
) -> list[tuple[int, int]]:
    return cut_windows(waves, rule=rule, record_id=record_id, window_s=window_s, **lead)


@pytest.mark.parametrize(
    ("n_samples", "fs_hz", "expected"),
    [
        (5000, 500.0, [(0, 5000)]),  # LUDB
        (9998, 1000.0, [(0, 9998)]),  # ISP
        (9980, 1000.0, [(0, 9980)]),
        (10_020, 1000.0, [(0, 10_000)]),
        (3593, 360.0, [(0, 3593)]),  # 7.2 samples of slack
    ],
)
def test_a_record_of_one_window_is_taken_whole(
    n_samples: int, fs_hz: float, expected: list[tuple[int, int]]
) -> None:
    for waves in (beats(), beats(100, 3000)):
        for rule in (COVER, CENTRE, DENSITY, SLIDING):
            assert cut(waves, rule, n_samples=n_samples, fs_hz=fs_hz) == expected


@pytest.mark.parametrize(
    ("n_samples", "fs_hz", "least"), [(9979, 1000.0, 9980), (3592, 360.0, 3593)]
)
def test_a_short_record_is_refused(n_samples: int, fs_hz: float, least: int) -> None:
    with pytest.raises(DataError, match=f"{n_samples} samples at .* at least {least} are needed"):
        cut(beats(), n_samples=n_samples, fs_hz=fs_hz)


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="no whole number of samples"):
        cut(beats(), n_samples=9000, fs_hz=250.0, window_s=10.001)
    with pytest.raises(ValueError, match="max_gap_s must be at least"):
        cut(beats(), n_samples=9000, fs_hz=250.0, max_gap_s=20.0)


def test_a_window_is_centred_on_its_cluster() -> None:
    waves = beats(100_000, 101_000)
    (start, n), *rest = cut(waves, n_samples=225_000, fs_hz=250.0)
    assert (n, rest) == (2500, [])
    assert abs((start + n / 2) - 100_500.5) <= 2.5  # 20 ms grid: 5 samples


def test_clusters_get_windows_of_their_own_and_none_lies_outside() -> None:
    waves = beats(20, 30_000, 34_000, 224_950)
    windows = cut(waves, n_samples=224_993, fs_hz=250.0)
    assert windows[0] == (0, 2500)
    assert [start for start, _ in windows[1:3]] == [29_500, 32_000]  # two, side by side
    assert windows[3] == (222_490, 2500)
    assert len(windows) == 4


def test_a_cluster_that_the_grid_splits_gets_one_window_more() -> None:
    # Marks from 4991 to 7490 fill a window exactly, but no window starts at 4991.
    waves = beats(5001, 7480)
    windows = cut(waves, n_samples=50_000, fs_hz=250.0)
    assert len(windows) == 2
    assert windows[0][0] <= 4991
    assert windows[1][0] + 2500 > 7490


def test_a_gap_of_exactly_the_limit_does_not_split() -> None:
    joined = cut(beats(5000, 17_520), n_samples=50_000, fs_hz=250.0)
    split = cut(beats(5000, 17_521), n_samples=50_000, fs_hz=250.0)
    assert [start for start, _ in joined] == [3760, 16_260]  # the four between hold no mark
    assert [start for start, _ in split] == [3750, 16_270]


def test_a_long_record_without_marks_has_no_window() -> None:
    for rule in (COVER, CENTRE, DENSITY, SLIDING):
        assert cut(beats(), rule, n_samples=50_000, fs_hz=250.0) == []


@given(
    fs_hz=st.sampled_from([250.0, 257.0, 360.0, 500.0, 1000.0]),
    seconds=st.floats(10.1, 400.0),
    places=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8),
)
@settings(max_examples=150, deadline=None)
def test_windows_cover_the_marks_with_as_few_as_possible(
    fs_hz: float, seconds: float, places: list[float]
) -> None:
    n_samples = round(seconds * fs_hz)
    at = np.unique([20 + int(p * (n_samples - 40)) for p in places])
    waves = beats(*at)
    windows = cut(waves, n_samples=n_samples, fs_hz=fs_hz)
    window = round(10 * fs_hz)
    starts = np.array([start for start, _ in windows], dtype=np.int64)
    assert np.all(np.diff(starts) >= window)
    assert np.all((starts >= 0) & (starts + window <= n_samples))
    assert {n for _, n in windows} <= {window}
    frames = starts * 50 / fs_hz  # starts are whole 20 ms frames, so whole samples at any rate
    np.testing.assert_allclose(frames, np.rint(frames), atol=1e-9)

    runs = np.split(at, np.flatnonzero(np.diff(at) - 20 > 50 * fs_hz) + 1)
    lengths = [run[-1] - run[0] + 21 for run in runs]
    assert len(windows) <= sum(-(-length // window) + 1 for length in lengths)
    covered = np.zeros(n_samples, dtype=bool)
    for start in starts:
        covered[start : start + window] = True
    assert all(waves_in_window(waves, start, window).kind.size for start in starts)
    for run, length in zip(runs, lengths, strict=True):
        # Marks are lost only where a cluster fills the lead or ends less than a step before it.
        grid = (Fraction(str(fs_hz)) / 50).numerator
        if length + 2 * window <= n_samples and run[-1] + 10 < n_samples - grid:
            assert covered[waves.marks[np.isin(waves.peak, run)]].all()


def test_the_central_window_may_hold_no_mark() -> None:
    waves = beats(10_010, 10_400, 30_000)  # marks from 10,000 to 30,010
    ((start, n),) = cut(waves, CENTRE, n_samples=50_000, fs_hz=250.0)
    assert abs(start + n / 2 - 20_005) <= 5
    assert waves_in_window(waves, start, n).kind.size == 0


def test_the_densest_window_is_around_the_first_mark_with_most_marks_about_it() -> None:
    far = (10_000, 20_000, 20_300, 40_000, 40_300)
    ((start, n),) = cut(beats(*far), DENSITY, n_samples=50_000, fs_hz=250.0)
    assert (start, n) == (20_000 - 10 - 1250, 2500)
    more = (*far, 40_600)
    ((start, n),) = cut(beats(*more), DENSITY, n_samples=50_000, fs_hz=250.0)
    assert (start, n) == (40_000 - 10 - 1250, 2500)


def test_marks_of_any_kind_of_wave_make_a_window_dense() -> None:
    peak = np.array([10_000, 20_000, 20_200, 40_000])
    none = np.full(4, NOT_MARKED)
    kind = np.array([QRS, P, T, QRS], np.uint8)
    ((start, n),) = cut(Waves(kind, none, peak, none), DENSITY, n_samples=50_000, fs_hz=250.0)
    assert (start, n) == (20_000 - 1250, 2500)


@pytest.mark.parametrize("rule", [CENTRE, DENSITY, SLIDING])
@pytest.mark.parametrize("at", [10, 49_980])
def test_marks_at_the_ends_of_a_lead_have_windows_inside_it(rule: WindowRule, at: int) -> None:
    for start, n in cut(beats(at), rule, n_samples=50_000, fs_hz=250.0):
        assert 0 <= start <= 47_500
        assert waves_in_window(beats(at), start, n).kind.size == 1


@given(
    fs_hz=st.sampled_from([250.0, 257.0, 360.0, 500.0, 1000.0]),
    seconds=st.floats(10.1, 400.0),
    places=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8),
    rule=st.sampled_from([CENTRE, DENSITY, SLIDING]),
)
@settings(max_examples=150, deadline=None)
def test_windows_of_every_rule_are_whole_and_inside(
    fs_hz: float, seconds: float, places: list[float], rule: WindowRule
) -> None:
    n_samples = round(seconds * fs_hz)
    waves = beats(*np.unique([20 + int(p * (n_samples - 40)) for p in places]))
    windows = cut(waves, rule, n_samples=n_samples, fs_hz=fs_hz)
    window = round(10 * fs_hz)
    starts = np.array([start for start, _ in windows], dtype=np.int64)
    assert windows == [(start, window) for start in np.unique(starts)]
    assert len(windows) == 1 if rule.rule != "sliding" else len(windows) <= 10
    assert np.all((starts >= 0) & (starts + window <= n_samples))
    frames = starts * 50 / fs_hz
    np.testing.assert_allclose(frames, np.rint(frames), atol=1e-9)


def test_sliding_windows_lie_in_a_cluster_for_two_fifths() -> None:
    """Two clusters: one of 7761 samples with a gap of 3230 in it, one of 121."""
    waves = beats(*range(20_010, 22_500, 250), *range(25_500, 28_000, 250), 100_010, 100_110)
    every = WindowRule("sliding", per_lead=10_000, seed=0)
    starts = np.array([start for start, _ in cut(waves, every, n_samples=225_000, fs_hz=250.0)])
    first, last = 20_000, int(waves.marks[-3].max())
    overlap = np.minimum(starts + 2500, last + 1) - np.maximum(starts, first)
    early = starts < 60_000
    assert 1000 <= overlap[early].min() < 1005
    assert starts[0] == first + 1000 - 2500
    assert last + 1 - 1000 - 5 < starts[early][-1] <= last + 1 - 1000
    assert np.all((starts[~early] <= 100_000) & (starts[~early] + 2500 > 100_120))
    assert min(waves_in_window(waves, start, 2500).kind.size for start in starts) > 0


def test_sliding_windows_are_the_same_for_leads_marked_alike_and_no_others() -> None:
    waves = beats(*range(20_010, 28_000, 200))

    def starts(**changes: Any) -> list[int]:
        chosen = {"rule": SLIDING, "record_id": "sel1", "n_samples": 225_000, "fs_hz": 250.0}
        return [start for start, _ in cut(waves, **(chosen | changes))]

    assert len(starts()) == 10
    assert starts() == starts()
    assert starts() != starts(record_id="sel2")
    assert starts() != starts(rule=WindowRule("sliding", per_lead=10, seed=1))


def test_a_lead_has_no_more_sliding_windows_than_fit() -> None:
    windows = cut(beats(1250), SLIDING, n_samples=2520, fs_hz=250.0)
    assert [start for start, _ in windows] == [0, 5, 10, 15, 20]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "windows: .* is not JSON"),
        ("[]", "windows: .* is no mapping"),
        ("{}", "windows.rule: unknown rule None; one of cover, centre, density, sliding"),
        ('{"rule": "middle"}', "windows.rule: unknown rule 'middle'"),
        ('{"rule": "cover", "seed": 0}', "windows.seed: rule 'cover' takes no such key"),
        ('{"rule": "sliding", "seed": 0}', "windows.per_lead: rule 'sliding' needs this key"),
        ('{"rule": "sliding", "seed": 0, "per_lead": 0}', "windows.per_lead: 0 is no whole"),
        ('{"rule": "sliding", "seed": true, "per_lead": 1}', "windows.seed: True is no whole"),
    ],
)
def test_a_wrong_rule_is_refused_in_one_line(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=f"^{problem}[^\n]*$"):
        WindowRule.from_json(text)


def test_a_rule_is_read_as_it_is_written() -> None:
    text = '{"per_lead": 10, "rule": "sliding", "seed": 0}'
    assert WindowRule.from_json(text) == SLIDING
    assert WindowRule.from_json('{"rule": "cover"}') == COVER


def test_waves_are_counted_from_the_window_and_cut_marks_are_not_marked() -> None:
    waves = pair_marks(
        np.array([90, 95, 99, 98, 105, 110, 180, 190, 199, 195, 200, 210])[
            np.array([0, 1, 2, 4, 5, 6, 7, 8, 10, 11])
        ],
        list("(p)N)(t)N)"),
    )
    inside = waves_in_window(waves, 100, 100)
    assert inside.marks.tolist() == [[-1, 5, 10], [80, 90, 99]]
    left = waves_in_window(waves, 95, 10)
    assert left.marks.tolist() == [[-1, 0, 4]]
    assert annotated_span(left) == (4, 4)
    assert waves_in_window(waves, 300, 100).kind.size == 0


@given(start=st.integers(0, 3000), n=st.integers(1, 500))
@settings(max_examples=100, deadline=None)
def test_waves_wholly_inside_survive_unchanged(start: int, n: int) -> None:
    waves = beats(*range(50, 3000, 37))
    inside = waves_in_window(waves, start, n)
    whole = (waves.on >= start) & (waves.off < start + n)
    np.testing.assert_array_equal(inside.marks[inside.complete] + start, waves.marks[whole])
    assert np.all((inside.marks == NOT_MARKED) | ((inside.marks >= 0) & (inside.marks < n)))


@pytest.mark.real
def test_windows_keep_the_expert_marks_of_qtdb(
    real_zip: Callable[[str], Path], tmp_path: Path
) -> None:
    pytest.importorskip("openecg.archive", reason="needs the QTDB loader")
    from openecg.archive import Archive
    from openecg.datasets import qtdb

    with Archive(real_zip("qtdb")) as archive:
        record = qtdb.read_record(archive, "sel100")
    for lead in record.leads:
        windows = cut(lead.waves, n_samples=lead.signal.size, fs_hz=record.fs_hz)
        kept = sum(np.sum(waves_in_window(lead.waves, *w).marks >= 0) for w in windows)
        assert kept == np.sum(lead.waves.marks >= 0)


@pytest.mark.real
def test_single_windows_of_qtdb_hold_what_was_counted_before(
    real_zip: Callable[[str], Path],
) -> None:
    """Records without QRS and the T subset (functional spec 4.2 and 7), of the first lead.

    The spec counts the onsets of normal beats (N) only, as openecg does; some records have others.
    """
    from openecg.archive import Archive
    from openecg.datasets import qtdb

    found = {
        (beat, rule.rule): {"no QRS": 0, "T subset": 0}
        for beat in ("normal", "any")
        for rule in (CENTRE, DENSITY)
    }
    with Archive(real_zip("qtdb")) as archive:
        for record_id in [info.record_id for info in qtdb.list_records(archive)]:
            samples, symbols = qtdb.read_marks(archive, record_id, "q1c")
            n_samples = qtdb.read_header(archive, record_id).n_samples
            normal = ["u" if symbol in "ABQV" else symbol for symbol in symbols]
            for (beat, rule), counts in found.items():
                waves = pair_marks(samples, normal if beat == "normal" else symbols)
                chosen = WindowRule(rule)
                ((start, n),) = cut(waves, chosen, n_samples=n_samples, fs_hz=250.0)
                inside = waves_in_window(waves, start, n)
                qrs, t = (np.sum(inside.on[inside.kind == kind] >= 0) for kind in (QRS, T))
                counts["no QRS"] += qrs == 0
                counts["T subset"] += qrs > 0 and t / qrs >= 0.8
    assert found == {
        ("normal", "centre"): {"no QRS": 18, "T subset": 39},
        ("normal", "density"): {"no QRS": 1, "T subset": 44},
        ("any", "centre"): {"no QRS": 16, "T subset": 39},
        ("any", "density"): {"no QRS": 0, "T subset": 43},
    }


@pytest.mark.real
def test_sliding_windows_of_qtdb_are_ten_a_lead(real_zip: Callable[[str], Path]) -> None:
    from openecg.archive import Archive
    from openecg.datasets import qtdb

    with Archive(real_zip("qtdb")) as archive:
        for record_id in [info.record_id for info in qtdb.list_records(archive)]:
            waves = qtdb.read_waves(archive, record_id, "q1c")
            n_samples = qtdb.read_header(archive, record_id).n_samples
            windows = cut(waves, SLIDING, record_id, n_samples=n_samples, fs_hz=250.0)
            assert len(windows) == 10, record_id
            assert all(waves_in_window(waves, *window).kind.size for window in windows)
