from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openecg.errors import DataError
from openecg.waves import NOT_MARKED, QRS, Waves, annotated_span, pair_marks
from openecg.windows import cut_windows, waves_in_window


def beats(*at: int) -> Waves:
    """QRS complexes of 21 samples around the given positions."""
    peak = np.array(at, dtype=np.int64)
    return Waves(np.full(len(at), QRS, np.uint8), peak - 10, peak, peak + 10)


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
        assert cut_windows(waves, n_samples=n_samples, fs_hz=fs_hz, window_s=10.0) == expected


@pytest.mark.parametrize(
    ("n_samples", "fs_hz", "least"), [(9979, 1000.0, 9980), (3592, 360.0, 3593)]
)
def test_a_short_record_is_refused(n_samples: int, fs_hz: float, least: int) -> None:
    with pytest.raises(DataError, match=f"{n_samples} samples at .* at least {least} are needed"):
        cut_windows(beats(), n_samples=n_samples, fs_hz=fs_hz, window_s=10.0)


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="no whole number of samples"):
        cut_windows(beats(), n_samples=9000, fs_hz=250.0, window_s=10.001)
    with pytest.raises(ValueError, match="max_gap_s must be at least"):
        cut_windows(beats(), n_samples=9000, fs_hz=250.0, window_s=10.0, max_gap_s=20.0)


def test_a_window_is_centred_on_its_cluster() -> None:
    waves = beats(100_000, 101_000)
    (start, n), *rest = cut_windows(waves, n_samples=225_000, fs_hz=250.0, window_s=10.0)
    assert (n, rest) == (2500, [])
    assert abs((start + n / 2) - 100_500.5) <= 2.5  # 20 ms grid: 5 samples


def test_clusters_get_windows_of_their_own_and_none_lies_outside() -> None:
    waves = beats(20, 30_000, 34_000, 224_950)
    windows = cut_windows(waves, n_samples=224_993, fs_hz=250.0, window_s=10.0)
    assert windows[0] == (0, 2500)
    assert [start for start, _ in windows[1:3]] == [29_500, 32_000]  # two, side by side
    assert windows[3] == (222_490, 2500)
    assert len(windows) == 4


def test_a_cluster_that_the_grid_splits_gets_one_window_more() -> None:
    # Marks from 4991 to 7490 fill a window exactly, but no window starts at 4991.
    waves = beats(5001, 7480)
    windows = cut_windows(waves, n_samples=50_000, fs_hz=250.0, window_s=10.0)
    assert len(windows) == 2
    assert windows[0][0] <= 4991
    assert windows[1][0] + 2500 > 7490


def test_a_gap_of_exactly_the_limit_does_not_split() -> None:
    joined = cut_windows(beats(5000, 17_520), n_samples=50_000, fs_hz=250.0, window_s=10.0)
    split = cut_windows(beats(5000, 17_521), n_samples=50_000, fs_hz=250.0, window_s=10.0)
    assert [start for start, _ in joined] == [3760, 16_260]  # the four between hold no mark
    assert [start for start, _ in split] == [3750, 16_270]


def test_a_long_record_without_marks_has_no_window() -> None:
    assert cut_windows(beats(), n_samples=50_000, fs_hz=250.0, window_s=10.0) == []


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
    windows = cut_windows(waves, n_samples=n_samples, fs_hz=fs_hz, window_s=10.0)
    window = round(10 * fs_hz)
    starts = np.array([start for start, _ in windows])
    assert np.all(np.diff(starts) >= window)
    assert starts.min() >= 0
    assert starts.max() + window <= n_samples
    assert {n for _, n in windows} == {window}
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
        # Marks are lost only where a cluster fills the lead or ends less than 100 ms before it.
        if length + 2 * window <= n_samples and run[-1] + 10 < n_samples - fs_hz / 10:
            assert covered[waves.marks[np.isin(waves.peak, run)]].all()


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
        windows = cut_windows(
            lead.waves, n_samples=lead.signal.size, fs_hz=record.fs_hz, window_s=10.0
        )
        kept = sum(np.sum(waves_in_window(lead.waves, *w).marks >= 0) for w in windows)
        assert kept == np.sum(lead.waves.marks >= 0)
