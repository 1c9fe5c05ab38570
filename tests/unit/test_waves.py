from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openecg.signals import to_ms
from openecg.waves import (
    IGNORE,
    NOT_MARKED,
    NOTHING_ANNOTATED,
    OTHER,
    QRS,
    P,
    T,
    Waves,
    annotated_span,
    frame_labels,
    ignore_spans,
    labels_from_ms,
    pair_marks,
    waves_from_ms,
)

RATES = [250.0, 360.0, 500.0, 1000.0]


def marks(text: str, step: int = 10) -> Waves:
    """Pair the symbols of ``text``, one mark every ``step`` samples from sample ``step`` on."""
    return pair_marks(np.arange(1, len(text) + 1) * step, list(text))


def rows(waves: Waves) -> list[tuple[int, ...]]:
    return list(zip(waves.kind.tolist(), *(m.tolist() for m in waves.marks.T), strict=True))


def wave(kind: int, on: int, off: int, peak: int = NOT_MARKED) -> Waves:
    return Waves(np.array([kind], np.uint8), *(np.array([x]) for x in (on, peak, off)))


@st.composite
def wave_trains(draw: st.DrawFn, *, complete: bool = False) -> tuple[Waves, int]:
    """Waves in time order with some marks missing, and the length of their lead."""
    n = draw(st.integers(0, 12))
    gaps = st.lists(st.integers(1, 60), min_size=3 * n, max_size=3 * n)
    at = np.cumsum(np.array(draw(gaps), dtype=np.int64)).reshape(n, 3)
    kind = draw(st.lists(st.sampled_from([P, QRS, T]), min_size=n, max_size=n))
    if not complete:
        drop = st.lists(st.booleans(), min_size=2 * n, max_size=2 * n)
        at[:, ::2][np.array(draw(drop), dtype=bool).reshape(n, 2)] = NOT_MARKED
    last = int(at.max()) if n else 0
    return Waves(np.array(kind, np.uint8), *at.T), last + 1 + draw(st.integers(0, 50))


def test_a_complete_beat_is_paired() -> None:
    assert rows(marks("(p)(N)(t)")) == [(P, 10, 20, 30), (QRS, 40, 50, 60), (T, 70, 80, 90)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("N)(t)", [(QRS, -1, 10, 20), (T, 30, 40, 50)]),  # onset missing
        ("(N)t)", [(QRS, 10, 20, 30), (T, -1, 40, 50)]),  # QTDB: T without onset
        ("(N(t)", [(QRS, 10, 20, -1), (T, 30, 40, 50)]),  # offset missing
        ("pNt", [(P, -1, 10, -1), (QRS, -1, 20, -1), (T, -1, 30, -1)]),
        ("((N)", [(QRS, 20, 30, 40)]),  # two brackets in a row
        ("(N))", [(QRS, 10, 20, 30)]),
        (")(N)(", [(QRS, 20, 30, 40)]),  # lone brackets
        ("N)(", [(QRS, -1, 10, 20)]),
        ("((N))", [(QRS, 20, 30, 40)]),  # nested
        ("N()(t)", [(QRS, -1, 10, -1), (T, 40, 50, 60)]),  # LUDB 7 v2: the peak beside its pair
        ("(tt)", [(T, 10, 20, -1), (T, -1, 30, 40)]),
        ("(V)(A)", [(QRS, 10, 20, 30), (QRS, 40, 50, 60)]),
        ("", []),
        ("()", []),
    ],
)
def test_pairing_goes_by_adjacency(text: str, expected: list[tuple[int, ...]]) -> None:
    assert rows(marks(text)) == expected


def test_a_missing_onset_does_not_shift_the_waves_after_it() -> None:
    whole, without = marks("(N)(N)(N)(N)"), marks("(N)(N)(N)(N)")
    samples, symbols = np.arange(1, 13) * 10, list("(N)(N)(N)(N)")
    without = pair_marks(np.delete(samples, 3), symbols[:3] + symbols[4:])
    np.testing.assert_array_equal(np.delete(without.on, 1), np.delete(whole.on, 1))
    np.testing.assert_array_equal(without.off, whole.off)
    assert without.on[1] == NOT_MARKED


def test_u_waves_are_dropped_with_their_brackets() -> None:
    assert rows(marks("(t)(u)p)")) == [(T, 10, 20, 30), (P, -1, 70, 80)]
    assert rows(marks("t)u)(N)")) == [(T, -1, 10, 20), (QRS, 50, 60, 70)]
    assert rows(marks("t(u(N)")) == [(T, -1, 10, -1), (QRS, 40, 50, 60)]


def test_bad_marks_are_named() -> None:
    with pytest.raises(ValueError, match="sample 40 follows sample 50"):
        pair_marks(np.array([10, 50, 40]), ["(", "N", ")"])
    with pytest.raises(ValueError, match=r"'x' at sample 20; allowed are .*\("):
        pair_marks(np.array([10, 20]), ["(", "x"])
    with pytest.raises(ValueError, match="2 positions but 1 symbols"):
        pair_marks(np.array([10, 20]), ["N"])
    with pytest.raises(ValueError, match="sample -3"):
        pair_marks(np.array([-3]), ["N"])
    with pytest.raises(ValueError, match="30 comes before 20"):
        wave(P, 30, 20)
    with pytest.raises(ValueError, match="kind 4"):
        wave(4, 10, 20)


def test_span_reaches_from_first_to_last_boundary() -> None:
    assert annotated_span(marks("N)(t)(N")) == (20, 60)
    assert annotated_span(marks("pN")) is None
    assert annotated_span(marks("")) is None


def test_incomplete_waves_reach_to_their_neighbours() -> None:
    assert ignore_spans(marks("(N)t)"), fs_hz=500.0).tolist() == [[T, 31, 50]]
    assert ignore_spans(marks("(N(t)"), fs_hz=500.0).tolist() == [[QRS, 10, 29]]
    assert ignore_spans(marks("(N)p(N)"), fs_hz=500.0).tolist() == [[P, 31, 49]]
    assert ignore_spans(marks("N)(t"), fs_hz=500.0).tolist() == [[QRS, 10, 20], [T, 30, 40]]
    assert ignore_spans(marks("(p)(N)(t)"), fs_hz=500.0).shape == (0, 3)
    assert ignore_spans(wave(P, 5, 9), fs_hz=500.0).shape == (0, 3)  # ISP marks no peaks


def test_incomplete_waves_reach_no_farther_than_such_waves_are_long() -> None:
    waves = pair_marks(np.array([0, 5, 10, 350, 400]), list("(p)N)"))
    assert ignore_spans(waves, fs_hz=500.0).tolist() == [[QRS, 400 - 86, 400]]  # 172 ms
    waves = pair_marks(np.array([100, 150, 400, 450, 500]), list("(N(t)"))
    assert ignore_spans(waves, fs_hz=1000.0).tolist() == [[QRS, 100, 100 + 172]]


def test_labels_of_a_beat() -> None:
    waves = pair_marks(np.array([10, 15, 19, 30, 35, 44, 60, 65, 79]), list("(p)(N)(t)"))
    labels = frame_labels(
        waves, n_samples=120, fs_hz=500.0, frame_ms=20.0, n_frames=12, span=(10, 79)
    )
    # 10 samples per frame. QRS fills frame 3 and half of frame 4: a tie goes to the smallest class.
    assert labels.tolist() == [255, 1, 0, 2, 0, 0, 3, 3, 255, 255, 255, 255]
    assert labels.dtype == np.uint8


def test_later_kinds_are_drawn_over_earlier_ones() -> None:
    kind = np.array([T, QRS, P], np.uint8)  # T over QRS over P, whatever the order in time
    on, off = np.array([0, 0, 0]), np.array([9, 19, 29])
    waves = Waves(kind, on, np.full(3, NOT_MARKED), off)
    labels = frame_labels(waves, n_samples=30, fs_hz=500.0, frame_ms=20.0, n_frames=3, span=None)
    assert labels.tolist() == [T, QRS, P]


def test_incomplete_waves_are_ignored_not_other() -> None:
    waves = pair_marks(np.array([0, 5, 9, 50, 69, 80, 85, 99]), list("(N)t)(p)"))
    labels = frame_labels(
        waves, n_samples=100, fs_hz=500.0, frame_ms=20.0, n_frames=10, span=annotated_span(waves)
    )
    assert labels.tolist() == [2, 255, 255, 255, 255, 255, 255, 0, 1, 1]


def test_nothing_annotated_is_all_ignored() -> None:
    labels = frame_labels(
        marks(""), n_samples=100, fs_hz=500.0, frame_ms=20.0, n_frames=10, span=NOTHING_ANNOTATED
    )
    assert set(labels.tolist()) == {IGNORE}


def test_frames_shorter_than_a_sample_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter than a sample"):
        frame_labels(marks(""), n_samples=10, fs_hz=250.0, frame_ms=2.0, n_frames=5, span=None)


@pytest.mark.parametrize("n_samples", [9998, 9999])
def test_isp_does_not_drift(n_samples: int) -> None:
    # The last wave ends on the last sample: frame 499 holds the 18 or 19 samples there are.
    waves = wave(T, 9980, n_samples - 1)
    labels = frame_labels(
        waves,
        n_samples=n_samples,
        fs_hz=1000.0,
        frame_ms=20.0,
        n_frames=500,
        span=(0, n_samples - 1),
    )
    assert np.flatnonzero(labels).tolist() == [499]
    other = frame_labels(
        wave(T, 9960, 9979),
        n_samples=n_samples,
        fs_hz=1000.0,
        frame_ms=20.0,
        n_frames=500,
        span=(0, n_samples - 1),
    )
    assert np.flatnonzero(other).tolist() == [498]
    assert other[499] == OTHER


def test_a_wave_keeps_its_frame_though_the_lead_ends_in_it() -> None:
    labels = frame_labels(
        wave(T, 80, 93), n_samples=94, fs_hz=500.0, frame_ms=20.0, n_frames=10, span=(0, 93)
    )
    assert labels.tolist() == [0] * 8 + [T, T]


def test_frames_behind_the_end_are_ignored_only_when_masked() -> None:
    given_ = {"n_samples": 95, "fs_hz": 500.0, "frame_ms": 20.0, "n_frames": 12}
    masked = frame_labels(wave(QRS, 0, 9), **given_, span=(0, 94))  # type: ignore[arg-type]
    assert masked.tolist() == [2, *[0] * 9, 255, 255]
    assert 255 not in frame_labels(wave(QRS, 0, 9), **given_, span=None)  # type: ignore[arg-type]


@given(
    fs_hz=st.sampled_from(RATES),
    n_samples=st.integers(100, 12_000),
    ends=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
@settings(max_examples=200, deadline=None)
def test_label_transitions_lie_within_half_a_frame(
    fs_hz: float, n_samples: int, ends: tuple[float, float]
) -> None:
    on, off = sorted(int(x * (n_samples - 1)) for x in ends)
    n_frames = -(-n_samples * 50 // int(fs_hz))
    labels = frame_labels(
        wave(QRS, on, off),
        n_samples=n_samples,
        fs_hz=fs_hz,
        frame_ms=20.0,
        n_frames=n_frames,
        span=(0, n_samples - 1),
    )
    frames = np.flatnonzero(labels == QRS)
    if frames.size == 0:
        assert (off + 1 - on) * 1000 / fs_hz <= 2 * 20.0  # too short to fill most of any frame
        return
    assert frames.size == frames[-1] + 1 - frames[0]
    # A wave takes [on, off + 1) samples of time; a frame holds a whole number of samples, so at
    # rates where 20 ms is none (360 Hz) half a frame may be half a sample more.
    half_ms = 10.0 + (500.0 / fs_hz if Fraction(fs_hz) / 50 % 1 else 0.0)
    assert abs(frames[0] * 20.0 - on * 1000 / fs_hz) <= half_ms + 1e-9
    end_ms = min((frames[-1] + 1) * 20.0, n_samples * 1000 / fs_hz)
    assert abs(end_ms - (off + 1) * 1000 / fs_hz) <= half_ms + 1e-9


@given(train=wave_trains(), fs_hz=st.sampled_from(RATES), frame_ms=st.sampled_from([4.0, 20.0]))
@settings(max_examples=80, deadline=None)
def test_original_labels_follow_from_the_masked_ones(
    train: tuple[Waves, int], fs_hz: float, frame_ms: float
) -> None:
    waves, n_samples = train
    n_frames = n_samples // 2
    masked, original = (
        frame_labels(
            waves, n_samples=n_samples, fs_hz=fs_hz, frame_ms=frame_ms, n_frames=n_frames, span=span
        )
        for span in (annotated_span(waves) or NOTHING_ANNOTATED, None)
    )
    np.testing.assert_array_equal(np.where(masked == IGNORE, OTHER, masked), original)
    assert np.all(masked[original != OTHER] != IGNORE)


@given(train=wave_trains(complete=True))
@settings(max_examples=100, deadline=None)
def test_complete_waves_leave_nothing_unknown_inside_the_span(train: tuple[Waves, int]) -> None:
    waves, n_samples = train
    span = annotated_span(waves)
    labels = frame_labels(
        waves,
        n_samples=n_samples,
        fs_hz=250.0,
        frame_ms=4.0,
        n_frames=n_samples,
        span=span or NOTHING_ANNOTATED,
    )
    known = np.zeros(n_samples, dtype=bool)
    if span:
        known[span[0] : span[1] + 1] = True
    np.testing.assert_array_equal(labels != IGNORE, known)
    # At one sample per frame the labels are the waves themselves.
    for kind, on, _, off in rows(waves):
        assert np.all(labels[on : off + 1] == kind)


@given(train=wave_trains(), fs_hz=st.sampled_from([250.0, 257.0, 360.0, 500.0, 1000.0]))
@settings(max_examples=80, deadline=None)
def test_labels_at_any_frame_length_come_back_from_ms(
    train: tuple[Waves, int], fs_hz: float
) -> None:
    waves, n_samples = train
    times = [to_ms(m, fs_hz=fs_hz) for m in waves.marks.T]
    assert rows(waves_from_ms(waves.kind, *times, fs_hz=fs_hz)) == rows(waves)
    for frame_ms in (4.0, 10.0, 20.0):
        given_ = {"frame_ms": frame_ms, "n_frames": 50}
        for masked in (True, False):
            span = annotated_span(waves) or NOTHING_ANNOTATED
            stored = frame_labels(
                waves, n_samples=n_samples, fs_hz=fs_hz, span=span if masked else None, **given_
            )  # type: ignore[arg-type]
            derived = labels_from_ms(
                waves.kind,
                *times,
                native_fs_hz=fs_hz,
                native_samples=n_samples,
                masked=masked,
                **given_,
            )  # type: ignore[arg-type]
            np.testing.assert_array_equal(derived, stored)
