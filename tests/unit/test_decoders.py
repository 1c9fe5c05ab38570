import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openecg.stage2.decoders import (
    apply_offsets,
    clean_frames,
    drop_rare_p,
    drop_short_waves,
    frames_to_waves,
    refine_boundaries,
    shift_boundaries,
    trim_p,
)
from openecg.waves import BOUNDARIES, OTHER, QRS, P, T, Waves, frame_labels

LETTERS = "_pqt"
RATE = {"frame_ms": 20.0, "fs_hz": 250.0}
LAST_MS = 9996.0
STRIPS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 14)), max_size=14)


def frames_of(text: str) -> npt.NDArray[np.uint8]:
    return np.array([LETTERS.index(letter) for letter in text], dtype=np.uint8)


def text_of(frames: npt.NDArray[np.uint8]) -> str:
    return "".join(LETTERS[frame] for frame in frames)


def times(*values: float) -> npt.NDArray[np.float64]:
    return np.array(values, dtype=np.float64)


def kinds(*values: int) -> npt.NDArray[np.uint8]:
    return np.array(values, dtype=np.uint8)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("____ppppp____", "____ppppp____"),
        ("____pp_______", "_____________"),
        ("__qqqqqqq____", "__qqqqqqq____"),  # the first run stays, however short
        ("___pppp__qqqqq", "___ppppppqqqqq"),  # the gap is absorbed: P ends 40 ms late
        ("___pppp__qqttttt", "___ppppppppttttt"),
        ("___pppp_________pppp", "___ppppppppppppppppp"),  # 9 frames between
        ("___pppp__________pppp", "___pppp__________pppp"),  # 10
        ("___tttt___qqqq__pppp___pppp", "___tttt___qqqqqqppppppppppp"),
        ("___pppp___qqq___pppp", "___ppppppppppppppppp"),
        ("___qqqq___ttt___qqqq___ttt", "___qqqqqqqqqqqqqqqqq___ttt"),
        ("", ""),
    ],
)
def test_frames_are_cleaned_as_the_original_does(before: str, after: str) -> None:
    cleaned = clean_frames(frames_of(before), frame_ms=20.0, min_run_ms=60.0, merge_gap_ms=200.0)
    assert text_of(cleaned) == after
    assert cleaned.dtype == np.uint8


@given(STRIPS, st.sampled_from([20, 40, 60, 80, 100, 120]), st.sampled_from([100, 200, 300, 400]))
def test_cleaning_is_the_two_steps_taken_frame_by_frame(
    strip: list[tuple[int, int]], min_run_ms: int, merge_gap_ms: int
) -> None:
    frames = np.repeat(kinds(*[k for k, _ in strip]), [n for _, n in strip])
    expected = frames.tolist()
    start = 0
    while start < len(expected):
        stop = start
        while stop < len(expected) and expected[stop] == expected[start]:
            stop += 1
        if start and stop - start < min_run_ms // 20:
            expected[start:stop] = expected[start - 1 : start] * (stop - start)
        start = stop
    for kind in (P, QRS, T):
        last = None
        for i in range(len(expected)):
            if expected[i] == kind:
                if last is not None and i - last - 1 < merge_gap_ms // 20:
                    expected[last:i] = [kind] * (i - last)
                last = i
    cleaned = clean_frames(
        frames, frame_ms=20.0, min_run_ms=float(min_run_ms), merge_gap_ms=float(merge_gap_ms)
    )
    assert cleaned.tolist() == expected


def test_short_waves_are_dropped_by_their_own_limit() -> None:
    frames = frames_of("_pp_qq_tt_ppp_qqq_ttt")
    kept = drop_short_waves(frames, frame_ms=20.0, min_ms={P: 60.0, T: 41.0})
    assert text_of(kept) == "____qq____ppp_qqq_ttt"
    with pytest.raises(ValueError, match="class 0 is no wave; one of 1, 2, 3"):
        drop_short_waves(frames, frame_ms=20.0, min_ms={OTHER: 60.0})


@given(STRIPS, st.integers(0, 200))
def test_dropping_short_waves_leaves_background_and_long_waves(
    strip: list[tuple[int, int]], limit_ms: int
) -> None:
    frames = np.repeat(kinds(*[k for k, _ in strip]), [n for _, n in strip])
    kept = drop_short_waves(frames, frame_ms=20.0, min_ms=dict.fromkeys((P, QRS, T), limit_ms))
    assert np.all((kept == frames) | (kept == OTHER))
    was, now = (set(zip(*frames_to_waves(f, **RATE), strict=True)) for f in (frames, kept))
    assert now == {(k, on, off) for k, on, off in was if off + 4 - on >= limit_ms}


def p_wave(n_frames: int, first: int, last: int) -> npt.NDArray[np.float64]:
    """Noise of SD about 1, and a deflection of 20 in some frames."""
    signal = np.where(np.arange(5 * n_frames) % 2, 1.0, -1.0)
    signal[5 * first : 5 * last + 5] += 20.0
    return signal


@pytest.mark.parametrize(
    ("before", "loud", "after"),
    [
        ("____________pppppp____qqq", (12, 14), "____________ppp_______qqq"),
        ("____________pppppp____qqq", (14, 15), "____________pppp______qqq"),  # its start stays
        ("____________pppppp____qqq", (12, 17), "____________pppppp____qqq"),
        ("____________pppppp____qqq", (20, 21), "____________p_________qqq"),  # one is left
        ("____________ttqqqqqqpppppp", (20, 22), "____________ttqqqqqqppp___"),  # 2 frames _
        ("qqqqqqqqqqqqtttttttppppppp", (0, 0), "qqqqqqqqqqqqtttttttppppppp"),  # no baseline
        ("pppp_____", (7, 8), "pppp_____"),
    ],
)
def test_the_quiet_end_of_a_p_wave_is_cut_off(
    before: str, loud: tuple[int, int], after: str
) -> None:
    signal = p_wave(len(before), *loud)
    trimmed = trim_p(frames_of(before), signal + 300.0, **RATE, factor=2.0)
    assert text_of(trimmed) == after


def test_trimming_measures_against_the_spread_of_the_baseline() -> None:
    frames = frames_of("____________pppppp____")
    signal = p_wave(22, 12, 14)
    signal[5 * 15 : 5 * 16] = 1.9  # SD 1
    assert text_of(trim_p(frames, signal, **RATE, factor=2.0)) == "____________ppp_______"
    assert text_of(trim_p(frames, signal, **RATE, factor=1.5)) == "____________pppp______"
    assert text_of(trim_p(frames, 0.01 * signal, **RATE, factor=2.0)) == "____________ppp_______"
    with pytest.raises(ValueError, match="109 samples at 250 Hz are not 22 frames of 20 ms"):
        trim_p(frames, signal[1:], **RATE, factor=2.0)
    with pytest.raises(ValueError, match="110 samples at 256 Hz are not"):
        trim_p(frames, signal, frame_ms=20.0, fs_hz=256.0, factor=2.0)


@pytest.mark.parametrize(("before", "after"), [("q__ppp", "q__ppp"), ("q___ppp", "q___pp_")])
def test_fewer_than_five_samples_are_no_baseline(before: str, after: str) -> None:
    signal = np.tile([1.0, -1.0], len(before))  # two samples a frame
    signal[-4:-2] = 9.0
    trimmed = trim_p(frames_of(before), signal, frame_ms=20.0, fs_hz=100.0, factor=2.0)
    assert text_of(trimmed) == after


@pytest.mark.parametrize("name", BOUNDARIES)
def test_a_shift_moves_its_boundary_and_no_other(name: str) -> None:
    kind = kinds(P, QRS, T, P)
    on, off = times(100, 300, 500, 1100), times(196, 396, 696, 1196)
    moved = shift_boundaries(kind, on, off, shifts_ms={name: -15.0}, last_ms=LAST_MS)
    wave, end = name.split("_")
    own = kind == {"P": P, "QRS": QRS, "T": T}[wave]
    assert np.array_equal(moved[0], on - 15.0 * (own & (end == "on")))
    assert np.array_equal(moved[1], off - 15.0 * (own & (end == "off")))


def test_shifted_boundaries_stay_in_the_window_and_in_order() -> None:
    kind, on, off = kinds(P, P, T, T), times(4, 200, 300, 9900), times(56, 212, 396, 9990)

    def moved(**shifts_ms: float) -> list[list[float]]:
        ends = shift_boundaries(kind, on, off, shifts_ms=shifts_ms, last_ms=LAST_MS)
        return [times_ms.tolist() for times_ms in ends]

    assert moved(P_off=-22.0) == [[4, 200, 300, 9900], [34, 200, 396, 9990]]
    assert moved(P_on=-22.0) == [[0, 178, 300, 9900], [56, 212, 396, 9990]]
    assert moved(P_on=30.0) == [[34, 212, 300, 9900], [56, 212, 396, 9990]]
    assert moved(T_off=22.0) == [[4, 200, 300, 9900], [56, 212, 418, 9996]]
    assert moved(T_on=500.0, T_off=500.0) == [[4, 200, 800, 9996], [56, 212, 896, 9996]]
    with pytest.raises(ValueError, match="no boundary 'p_off'; one of P_on, P_off"):
        moved(p_off=-22.0)


def offsets_to(on: list[float], off: list[float]) -> npt.NDArray[np.float64]:
    """Exact answers of a regression head for one P, one QRS and one T wave, in samples."""
    boundaries_ms = np.array([on, off]).T.ravel()
    starts_ms = np.arange(500)[:, None] * 20.0
    return (boundaries_ms - starts_ms) / 4.0


@given(
    st.lists(st.integers(0, 2499), min_size=6, max_size=6, unique=True),
    st.lists(st.integers(0, 499), min_size=6, max_size=6),
)
def test_exact_offsets_lead_to_the_true_boundaries(true: list[int], called: list[int]) -> None:
    """On and off, from wherever the frames of the classifier begin and end."""
    ends_ms = np.sort(np.array(true)).reshape(3, 2) * 4.0
    on, off = ends_ms[:, 0].tolist(), ends_ms[:, 1].tolist()
    frames = np.sort(np.array(called).reshape(3, 2), axis=1)
    found_on, found_off = frames[:, 0] * 20.0, frames[:, 1] * 20.0 + 16.0
    new = apply_offsets(kinds(P, QRS, T), found_on, found_off, offsets_to(on, off), **RATE)
    reachable = np.array(on) <= np.maximum(found_off, off)
    np.testing.assert_allclose(new[0][reachable], np.array(on)[reachable])
    np.testing.assert_allclose(new[1], off)


def test_offs_are_late_by_a_frame_less_a_sample_if_they_are_counted_twice() -> None:
    kind, on, off = kinds(P, QRS, T), times(100, 300, 500), times(196, 396, 696)
    offsets = offsets_to([97.0, 302.0, 509.0], [191.0, 401.0, 690.0])
    new = apply_offsets(kind, on, off, offsets, **RATE, double_counted_offs=True)
    np.testing.assert_allclose(new[0], [97, 302, 509])
    np.testing.assert_allclose(new[1], [191 + 16, 401 + 16, 690 + 16])


def test_the_error_of_counting_twice_does_not_depend_on_the_rate_of_the_record() -> None:
    kind, on, offsets = kinds(P), times(100), offsets_to([97.0, 0, 0], [191.0, 0, 0])
    for last in (196, 198, 199):  # at 250, 500 and 1000 Hz
        new = apply_offsets(kind, on, times(last), offsets, **RATE, double_counted_offs=True)
        np.testing.assert_allclose(new[1], [191 + 16])


def test_each_boundary_reads_its_own_channel_at_its_own_frame() -> None:
    kind, on, off = kinds(P, QRS, T), times(100, 300, 500), times(196, 396, 696)
    offsets = np.zeros((500, 6), dtype=np.float32)
    offsets[[5, 15, 25], [0, 2, 4]] = 1, 2, 3
    offsets[[9, 19, 34], [1, 3, 5]] = -1, -2, -3
    new = apply_offsets(kind, on, off, offsets, **RATE)
    assert new[0].tolist() == [104, 308, 512]
    assert new[1].tolist() == [180 - 4, 380 - 8, 680 - 12]
    assert new[0].dtype == new[1].dtype == np.float64


def test_offsets_do_not_lead_out_of_the_window_or_past_the_other_end() -> None:
    offsets = np.zeros((500, 6))
    offsets[0, 0], offsets[499, 5] = -30, 30
    offsets[10, 2], offsets[12, 3] = 40, -40
    kind, on, off = kinds(P, QRS, T), times(0, 200, 9900), times(56, 256, 9996)
    new = apply_offsets(kind, on, off, offsets, **RATE)
    assert (new[0][0], new[1][2]) == (0, 9996)
    assert new[0][1] == new[1][1] == 256


def heartbeat() -> npt.NDArray[np.float64]:
    """P from 200 to 296 ms, QRS from 400 to 480 ms, T from 600 to 796 ms, on a flat line."""
    signal = np.full(500, 0.3)
    for first, last, height in ((50, 74, 0.2), (100, 120, 1.5), (150, 199, 0.4)):
        length = last - first + 1
        signal[first : last + 1] += height * np.sin(np.linspace(0, np.pi, length))
    return signal


def test_the_refiner_finds_qrs_in_the_signal_and_leaves_the_others() -> None:
    kind = kinds(P, QRS, T)
    on, off = times(180, 360, 640), times(316, 520, 756)
    new = refine_boundaries(kind, on, off, heartbeat(), fs_hz=250.0)
    assert np.abs([new[0][1] - 400, new[1][1] - 480]).max() <= 8
    assert (new[0][0], new[0][2], new[1][0], new[1][2]) == (180, 640, 316, 756)
    assert on.tolist() == [180, 360, 640]


def test_the_refiner_favours_neither_end() -> None:
    # Slopes lie between samples 100 and 120, the first at 101: they mirror about 442 ms.
    ends = refine_boundaries(kinds(QRS), times(360), times(524), heartbeat(), fs_hz=250.0)
    assert ends[0][0] + ends[1][0] == 2 * 442


def test_the_refiner_moves_the_waves_it_is_told_to() -> None:
    kind, on, off = kinds(P, QRS, T), times(180, 360, 640), times(316, 520, 756)
    new = refine_boundaries(kind, on, off, heartbeat(), fs_hz=250.0, kinds=(P, T))
    assert (new[0][1], new[1][1]) == (360, 520)
    # P and T rise slowly, so a quarter of their height is reached a little after their start.
    assert 200 <= new[0][0] <= 228
    assert 268 <= new[1][0] <= 296
    assert new[0][2] != 640
    assert new[1][2] != 756


def test_without_activity_boundaries_stay() -> None:
    kind, on, off = kinds(P, QRS, QRS), times(0, 200, 1900), times(56, 256, 1996)
    for which in ((P, QRS), ()):
        new = refine_boundaries(kind, on, off, np.ones(500), fs_hz=250.0, kinds=which)
        assert np.array_equal(new, [on, off])


@given(st.integers(0, 2**32 - 1), st.sampled_from([250.0, 500.0]))
def test_refined_boundaries_are_in_the_window_and_in_order(seed: int, fs_hz: float) -> None:
    rng = np.random.default_rng(seed)
    ends = np.sort(rng.integers(0, 500, (6, 2)), axis=1) * 1000.0 / fs_hz
    kind = rng.integers(1, 4, 6).astype(np.uint8)
    signal = rng.normal(size=500).astype(np.float32)
    on, off = refine_boundaries(
        kind, ends[:, 0], ends[:, 1], signal, fs_hz=fs_hz, kinds=(P, QRS, T)
    )
    assert np.all((on >= 0) & (on <= off) & (off <= 499 * 1000.0 / fs_hz))
    apart = on < off
    assert np.all(np.abs(np.array([on, off]).T - ends)[apart] <= 80.0)


def test_no_waves_stay_no_waves() -> None:
    kind, on, off = frames_to_waves(frames_of("____"), **RATE)
    empty = (kind.astype(np.float64), on)
    for new in (
        shift_boundaries(kind, on, off, shifts_ms={"P_off": -22.0}, last_ms=LAST_MS),
        apply_offsets(kind, on, off, np.zeros((4, 6)), **RATE),
        refine_boundaries(kind, on, off, np.zeros(20), fs_hz=250.0),
    ):
        assert np.array_equal(new, empty)


def test_a_wave_runs_from_its_first_frame_to_the_last_sample_of_its_last() -> None:
    frames = np.array([0, 1, 1, 0, 2, 3, 3], dtype=np.uint8)
    kind, on_ms, off_ms = frames_to_waves(frames, frame_ms=20, fs_hz=250)
    assert kind.tolist() == [1, 2, 3]
    assert on_ms.tolist() == [20, 80, 100]
    assert off_ms.tolist() == [56, 96, 136]


@pytest.mark.parametrize("native_fs_hz", [250, 500, 1000])
@pytest.mark.parametrize("frame_ms", [4, 20])
def test_waves_of_true_labels_have_no_bias_but_the_ties(native_fs_hz: int, frame_ms: int) -> None:
    rng = np.random.default_rng(1)
    n_samples, ms = 60 * native_fs_hz, 1000 / native_fs_hz
    on = np.arange(1, 140) * native_fs_hz * 2 // 5 + rng.integers(0, 40, 139)
    off = on + rng.integers(native_fs_hz // 10, native_fs_hz // 5, 139)
    waves = Waves(np.full(139, QRS, dtype=np.uint8), on, on, off)
    labels = frame_labels(
        waves,
        n_samples=n_samples,
        fs_hz=native_fs_hz,
        frame_ms=frame_ms,
        n_frames=60_000 // frame_ms,
        span=None,
    )
    _, on_ms, off_ms = frames_to_waves(labels, frame_ms=frame_ms, fs_hz=native_fs_hz)
    errors = on_ms - on * ms, off_ms - off * ms
    assert np.abs(errors).max() <= frame_ms / 2
    # Of two classes that fill half a frame each, the frame takes OTHER: waves are never too long.
    tie_ms = ms / 2 if frame_ms * native_fs_hz % 2000 == 0 else 0
    assert abs(errors[0].mean() - tie_ms) < frame_ms / 8
    assert abs(errors[1].mean() + tie_ms) < frame_ms / 8


@given(st.lists(st.integers(0, 3), max_size=60))
def test_waves_painted_back_give_the_frames(classes: list[int]) -> None:
    frames = np.array(classes, dtype=np.uint8)
    kind, on_ms, off_ms = frames_to_waves(frames, frame_ms=20, fs_hz=250)
    painted = np.zeros(5 * frames.size, dtype=np.uint8)  # one value per sample of 4 ms
    for wave, on, off in zip(kind, on_ms, off_ms, strict=True):
        painted[round(on / 4) : round(off / 4) + 1] = wave
    assert np.array_equal(painted, np.repeat(frames, 5))
    assert (kind.dtype, on_ms.dtype, off_ms.dtype) == (np.uint8, np.float64, np.float64)
    assert np.all(on_ms < off_ms)
    assert np.all(off_ms[:-1] < on_ms[1:])


def test_p_waves_are_dropped_where_few_beats_have_one() -> None:
    strips = [frames_of("__pp_qq_tt__qq_tt"), frames_of("__qq__qq__qq_____")]
    for share, kept in ((0.0, True), (0.2, True), (0.21, False)):
        found = [text_of(frames) for frames in drop_rare_p(strips, min_share=share)]
        assert found[0] == ("__pp_qq_tt__qq_tt" if kept else "_____qq_tt__qq_tt")
        assert found[1] == text_of(strips[1])
    without_beats = [frames_of("__pp__")]
    assert text_of(drop_rare_p(without_beats, min_share=0.3)[0]) == "__pp__"
