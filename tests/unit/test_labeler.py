import math
from itertools import groupby

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openecg.codec import Event, decode, encode, render_compact
from openecg.delineate import COLUMNS, Delineation
from openecg.labeler import label_events, label_waves, on_forced_grid, on_grid
from openecg.vocab import CHAR_TO_ID, ID_PACER_SPIKE, ID_TO_CHAR

unhurried = settings(deadline=None)  # time per example says more of the machine
NO_SPIKES = np.zeros(0, dtype=np.int64)
RATES = [250.0, 360.0, 500.0, 1000.0]


def beats(error: str | None = None, **given: list[float]) -> Delineation:
    n_beats = 0 if error else len(next(iter(given.values())))
    arrays = {name: np.full(n_beats, np.nan) for name in COLUMNS}
    arrays |= {name: np.array(values, dtype=np.float64) for name, values in given.items()}
    return Delineation(**arrays, error=error)


def text(symbols: npt.NDArray[np.uint8]) -> str:
    return "".join(ID_TO_CHAR[symbol] for symbol in symbols)


def label(b: Delineation, n_samples: int) -> str:
    return text(label_waves(b, n_samples=n_samples, fs_hz=500))


def test_a_whole_beat() -> None:
    b = beats(
        p_on=[1], p_off=[3], r_on=[6], q_peak=[7], r_peak=[10], s_peak=[13], r_off=[14],
        t_on=[16], t_off=[18],
    )  # fmt: skip
    assert label(b, 21) == "_ppp__qqrrrssss_ttt__"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, "__rrrrrr__"),
        ({"q_peak": [2]}, "__qrrrrr__"),
        ({"s_peak": [7]}, "__rrrsss__"),
        ({"q_peak": [0], "s_peak": [9]}, "__rrrrss__"),
    ],
)
def test_parts_of_the_qrs(more: dict[str, list[float]], expected: str) -> None:
    assert label(beats(r_on=[2], r_peak=[4], r_off=[7], **more), 10) == expected


def test_r_reaches_to_the_middle_even_outside_the_complex() -> None:
    b = beats(r_on=[5], r_peak=[6], r_off=[7], q_peak=[0], s_peak=[14])
    assert label(b, 12) == "___rrrrrrr__"


def test_wide_qrs_is_over_120_ms_without_q_and_s() -> None:
    assert label(beats(r_on=[0], r_peak=[30], r_off=[60]), 62) == "r" * 61 + "_"
    assert label(beats(r_on=[0], r_peak=[30], r_off=[61]), 62) == "w" * 62
    assert "w" not in label(beats(r_on=[0], r_peak=[30], r_off=[61], s_peak=[50]), 62)


def test_a_wave_with_one_end_is_not_drawn() -> None:
    b = beats(p_on=[1], t_off=[8], r_peak=[5], r_on=[4])
    assert label(b, 10) == "_" * 10


def test_qrs_wins_over_t_over_p() -> None:
    b = beats(
        p_on=[0], p_off=[9], t_on=[2], t_off=[9], r_on=[5], r_peak=[6], r_off=[9],
    )  # fmt: skip
    assert label(b, 10) == "pptttrrrrr"


def test_spikes_win_over_all_else() -> None:
    b = beats(p_on=[50], p_off=[89], r_on=[100], r_peak=[110], r_off=[119])
    spikes = np.array([20, 70, 112])
    events, _ = label_events(b, spikes, n_samples=500, fs_hz=500)
    assert render_compact(events) == "_*_p*p_r*r_"


Q_BEATS = {"r_on": [100, 200], "q_peak": [104, 150], "r_peak": [116, 208], "r_off": [130, 220]}


@pytest.mark.parametrize("grid", ["nearest", "forced"])
@pytest.mark.parametrize("spikes", [[], [104], [105], [20, 103, 300]])
def test_a_q_counts_once_however_spikes_cut_it(grid: str, spikes: list[int]) -> None:
    """The first Q peak has its q; the second lies so early that R reaches out to the middle."""
    where = np.array(spikes, dtype=np.int64)
    labels = label_events(beats(**Q_BEATS), where, n_samples=500, fs_hz=500, grid=grid)
    text = render_compact(labels.events)
    assert text.count("q") == (2 if spikes else 1)
    assert labels.n_q_lost == 1


def test_a_q_without_room_on_the_grid_is_lost() -> None:
    """At 1000 Hz twelve samples hold six symbols but no more than four units."""
    lost = set()
    for first in range(8):
        on = 40.0 + first
        b = beats(
            p_on=[on], p_off=[on + 1], r_on=[on + 2], q_peak=[on + 2], r_peak=[on + 6],
            s_peak=[on + 6], r_off=[on + 7], t_on=[on + 8], t_off=[on + 9],
        )  # fmt: skip
        labels = label_events(b, NO_SPIKES, n_samples=100, fs_hz=1000)
        assert labels.n_q_lost == 1 - render_compact(labels.events).count("q")
        lost.add(labels.n_q_lost)
    assert 0 in lost


def test_positions_outside_the_strip_move_to_its_edge() -> None:
    b = beats(p_on=[-5], p_off=[1], t_on=[7], t_off=[99], r_peak=[np.nan])
    assert label(b, 10) == "pp_____ttt"


def test_no_beat_gives_one_unknown_over_the_strip() -> None:
    none = beats("no R peak found")
    labels = label_events(none, np.array([7]), n_samples=5000, fs_hz=500)
    assert labels == ([(CHAR_TO_ID["?"], 10_000)], 0)
    assert label_events(none, NO_SPIKES, n_samples=5000, fs_hz=500, grid="forced") == labels


def test_events_of_a_strip() -> None:
    b = beats(p_on=[50], p_off=[89], r_on=[100], r_peak=[110], r_off=[119])
    events, _ = label_events(b, NO_SPIKES, n_samples=500, fs_hz=500)
    assert render_compact(events) == "_p_r_"
    assert [ms for _, ms in events] == [100, 80, 20, 40, 760]


@st.composite
def strips(draw: st.DrawFn) -> npt.NDArray[np.uint8]:
    """Make segments down to one sample, with and without spikes of one sample."""
    parts = draw(
        st.lists(st.tuples(st.sampled_from("_pqrstw*"), st.integers(1, 9)), min_size=1, max_size=15)
    )
    line = "".join("*" if char == "*" else char * n for char, n in parts)
    repeats = draw(st.integers(1, 20))
    return np.array([CHAR_TO_ID[char] for char in line * repeats], dtype=np.uint8)


def units(events: list[Event]) -> list[int]:
    return [symbol for symbol, ms in events for _ in range(int(ms) // 4)]


@unhurried
@given(strips(), st.sampled_from(RATES))
def test_the_grid_never_drifts(symbols: npt.NDArray[np.uint8], fs_hz: float) -> None:
    """Whatever came before, each unit shows what the signal shows within it."""
    on_units = units(on_grid(symbols, fs_hz=fs_hz))
    per_unit = fs_hz / 250
    assert abs(len(on_units) - len(symbols) / per_unit) <= 0.5
    for unit, symbol in enumerate(on_units):
        first, stop = int(unit * per_unit + 1e-9), math.ceil((unit + 1) * per_unit - 1e-9)
        is_last = unit == len(on_units) - 1
        assert symbol in (symbols[first:] if is_last else symbols[first:stop])


@unhurried
@given(strips(), st.sampled_from(RATES))
def test_the_grid_shows_every_spike(symbols: npt.NDArray[np.uint8], fs_hz: float) -> None:
    on_units = units(on_grid(symbols, fs_hz=fs_hz))
    if not on_units:
        return
    for spike in np.flatnonzero(symbols == ID_PACER_SPIKE):
        at = min(int(spike * 250 / fs_hz), len(on_units) - 1)
        assert ID_PACER_SPIKE in on_units[max(at - 1, 0) : at + 2]


@unhurried
@given(strips(), st.sampled_from(RATES))
def test_the_grid_shows_nothing_new(symbols: npt.NDArray[np.uint8], fs_hz: float) -> None:
    """Order stays, neighbours differ, and a round trip through words is exact."""
    events = on_grid(symbols, fs_hz=fs_hz)
    assert decode(encode(events)) == events
    runs = iter(symbol for symbol, _ in groupby(symbols.tolist()))
    assert all(symbol in runs for symbol, _ in events)


@unhurried
@given(st.lists(st.integers(2, 30), min_size=1, max_size=30), st.sampled_from([250.0, 500.0]))
def test_bounds_lie_within_2_ms_where_nothing_is_short(lengths: list[int], fs_hz: float) -> None:
    """At these rates two samples fill half a unit or more, so nothing vanishes."""
    lengths = [2 * n for n in lengths]
    symbols = np.repeat(np.arange(len(lengths)) % 2 + 4, lengths).astype(np.uint8)
    ends = np.cumsum([ms for _, ms in on_grid(symbols, fs_hz=fs_hz)])
    assert np.abs(ends - np.cumsum(lengths) * 1000 / fs_hz).max() <= 2


def test_bounds_between_two_points_fall_to_both_sides_equally() -> None:
    """At 500 Hz half of the bounds lie right between two grid points."""
    moved = []
    for first in range(5, 405):
        symbols = np.repeat([2, 4], [first, 500 - first]).astype(np.uint8)
        moved.append(on_grid(symbols, fs_hz=500)[0][1] - 2 * first)
    assert sorted(set(moved)) == [-2, 0, 2]
    assert np.mean(moved) == 0


@pytest.mark.parametrize("first", range(8))
def test_a_q_of_one_sample_is_kept(first: int) -> None:
    symbols = np.repeat([2, 5, 6, 2], [20 + first, 1, 20, 20]).astype(np.uint8)
    assert render_compact(on_grid(symbols, fs_hz=500)) == "_qr_"


@pytest.mark.parametrize("first", range(8))
def test_what_has_no_room_left_is_dropped(first: int) -> None:
    """Twelve samples of 1 ms hold six symbols but no more than four units."""
    symbols = np.repeat([2, 4, 5, 6, 7, 8, 4, 2], [40 + first, 2, 2, 2, 2, 2, 2, 40])
    events = on_grid(symbols.astype(np.uint8), fs_hz=1000)
    assert sum(ms for _, ms in events) == 4 * round((92 + first) / 4)
    assert 2 <= len(events) - 2 <= 4


def test_a_strip_shorter_than_half_a_unit_has_no_events() -> None:
    assert on_grid(np.array([2], dtype=np.uint8), fs_hz=1000) == []


@unhurried
@given(strips(), st.sampled_from(RATES))
def test_the_forced_grid_shows_every_run(symbols: npt.NDArray[np.uint8], fs_hz: float) -> None:
    """Bounds are never before the nearest grid point; what is forced pushes them on."""
    events = on_forced_grid(symbols, fs_hz=fs_hz)
    runs = [(symbol, len(list(run))) for symbol, run in groupby(symbols.tolist())]
    assert [symbol for symbol, _ in events] == [symbol for symbol, _ in runs]
    assert all(ms >= 4 and ms % 4 == 0 for _, ms in events)
    told_ms, true_ms, late_ms = 0.0, 0.0, 0.0
    for (_, ms), (_, n) in zip(events, runs, strict=True):
        told_ms, true_ms = told_ms + ms, true_ms + n * 1000 / fs_hz
        forced = ms == 4 and told_ms - 4 * np.rint(true_ms / 4) > late_ms
        late_ms = max(told_ms - 4 * np.rint(true_ms / 4), 0.0)
        assert told_ms >= 4 * np.rint(true_ms / 4 - 1e-9)
        assert forced or late_ms <= 4 * len(runs)


def test_the_forced_grid_pushes_what_follows_a_short_run() -> None:
    symbols = np.repeat([2, 5, 6, 2], [21, 1, 20, 20]).astype(np.uint8)
    assert on_grid(symbols, fs_hz=500) == [(2, 40), (5, 4), (6, 40), (2, 40)]
    assert on_forced_grid(symbols, fs_hz=500) == [(2, 40), (5, 4), (6, 40), (2, 40)]
    many = np.array([2, 4, 5, 6, 7, 8], dtype=np.uint8)
    assert on_forced_grid(many, fs_hz=500) == [(symbol, 4) for symbol in many]
    assert sum(ms for _, ms in on_grid(many, fs_hz=500)) == 12


def test_bad_rate_and_grid_are_refused() -> None:
    for lay in (on_grid, on_forced_grid):
        with pytest.raises(ValueError, match="positive, got 0"):
            lay(np.zeros(9, dtype=np.uint8), fs_hz=0)
    with pytest.raises(ValueError, match="unknown grid 'fine'; one of nearest, forced"):
        label_events(beats("none"), NO_SPIKES, n_samples=9, fs_hz=500, grid="fine")
