"""Where the boundaries of waves are likeliest."""

import numpy as np
import numpy.typing as npt
import pytest

from openecg.stage2.decoders import frames_to_waves
from openecg.stage2.likeliest import likeliest_boundaries
from openecg.waves import OTHER, QRS, P, T

FRAME_MS, FS_HZ = 4.0, 500.0
Floats = npt.NDArray[np.float64]


def two_classes(kind: int, own: Floats) -> Floats:
    """Probabilities of one kind of wave and of background."""
    out = np.zeros((own.size, 4))
    out[:, kind], out[:, OTHER] = own, 1 - own
    return out


def moved(
    probabilities: Floats, kinds: tuple[int, ...] = (P, T), *, frame_ms: float = FRAME_MS
) -> tuple[npt.NDArray[np.uint8], Floats, Floats, Floats, Floats]:
    """Kinds, times by labels and likeliest times of the waves of one window."""
    labels = probabilities.argmax(axis=1).astype(np.uint8)
    rate = {"frame_ms": frame_ms, "fs_hz": FS_HZ}
    kind, on, off = frames_to_waves(labels, **rate)
    return kind, on, off, *likeliest_boundaries(kind, on, off, probabilities, **rate, kinds=kinds)


def levels(*parts: tuple[float, int]) -> Floats:
    """A curve of constant parts: level, and length in frames."""
    return np.concatenate([np.full(n, level) for level, n in parts])


def test_a_sharp_wave_stays() -> None:
    own = levels((0.02, 100), (0.97, 40), (0.01, 100))
    for kind in (P, T):
        _, on, off, new_on, new_off = moved(two_classes(kind, own))
        assert new_on.tolist() == on.tolist() == [400.0]
        assert new_off.tolist() == off.tolist() == [558.0]


def test_a_boundary_goes_to_where_most_of_the_rise_is() -> None:
    rise = levels((0.0, 50), (0.3, 60), (0.52, 60), (1.0, 60))  # steps of 0.3, 0.22 and 0.48
    fall = levels((0.48, 60), (0.2, 60), (0.0, 50))  # of 0.52, 0.28 and 0.2
    _, on, off, new_on, new_off = moved(two_classes(T, np.concatenate([rise, fall])))
    assert (on.tolist(), new_on.tolist()) == ([440.0], [680.0])
    assert (off.tolist(), new_off.tolist()) == ([918.0], [918.0])
    _, on, off, new_on, new_off = moved(two_classes(T, np.concatenate([rise, fall])[::-1]))
    assert (off.tolist(), new_off.tolist()) == ([1158.0], [918.0])
    assert (on.tolist(), new_on.tolist()) == ([680.0], [680.0])


def test_a_rise_within_one_interval_is_halved_where_labels_change() -> None:
    own = levels((0.0, 50), (0.5, 4), (1.0, 60), (0.0, 50))
    own[52:54] = 0.51
    _, on, _, new_on, _ = moved(two_classes(P, own))
    assert new_on.tolist() == on.tolist() == [208.0]


def test_what_rises_again_is_another_wave() -> None:
    own = levels((0.0, 50), (0.45, 20), (0.0, 5), (1.0, 60), (0.0, 50))
    assert moved(two_classes(T, own))[3].tolist() == [300.0]
    again = levels((0.0, 30), (0.46, 30), (0.1, 30), (0.52, 60), (0.0, 50))
    assert moved(two_classes(T, again))[3].tolist() == [360.0]


def test_a_dip_in_a_wave_is_no_boundary() -> None:
    own = np.zeros((300, 4))
    own[:, OTHER] = 1
    own[100:120] = [0.03, 0.02, 0.0, 0.95]
    own[120] = [0.3, 0.3, 0.0, 0.4]
    own[121:160] = [0.05, 0.05, 0.0, 0.9]
    _, on, off, new_on, new_off = moved(own)
    assert (on.tolist(), off.tolist()) == (new_on.tolist(), new_off.tolist()) == ([400.0], [638.0])


def test_an_interval_is_as_long_as_the_tolerance_of_its_boundary() -> None:
    ramp = levels((0.0, 60), (0.25, 38), (0.49, 38), (1.0, 60))  # steps of 0.25, 0.24, 0.51
    both = np.concatenate([ramp, ramp[::-1]])
    off_by_labels = (2 * ramp.size - 136) * FRAME_MS - 1000 / FS_HZ
    for kind, moves_ms in ((P, 0.0), (T, 52.0)):  # 152 ms are within 2 x 100 ms, not 2 x 50 ms
        _, on, off, new_on, new_off = moved(two_classes(kind, both))
        assert (on.tolist(), off.tolist()) == ([544.0], [off_by_labels])
        assert new_on.tolist() == [544.0]
        assert new_off.tolist() == [off_by_labels + moves_ms]


def test_labels_may_be_long_and_waves_touch_the_ends_of_the_window() -> None:
    own = levels((0.9, 12), (0.3, 11), (0.0, 4), (0.4, 3), (0.95, 10))
    _, on, off, new_on, new_off = moved(two_classes(T, own), frame_ms=20.0)
    assert (on.tolist(), off.tolist()) == ([0.0, 600.0], [238.0, 798.0])
    assert new_off.tolist() == [238.0, 798.0]
    assert new_on.tolist() == [0.0, 580.0]  # 540 ms, the first step, is within 50 ms of it


def test_waves_that_would_pass_each_other_stay() -> None:
    own = np.zeros((200, 4))
    own[:, OTHER] = 1
    own[40:80] = [0.40, 0.15, 0.0, 0.45]
    own[80:140] = [0.40, 0.25, 0.0, 0.35]
    own[140:180] = [0.40, 0.45, 0.0, 0.15]
    _, on, off, new_on, new_off = moved(own)
    assert (on.tolist(), off.tolist()) == ([160, 560], [318, 718])
    assert (new_on.tolist(), new_off.tolist()) == ([160, 560], [318, 718])
    assert moved(own, (T,))[4].tolist() == [558, 718]
    assert moved(own, (P,))[3].tolist() == [160, 320]


@pytest.mark.parametrize("frame_ms", [4.0, 20.0, 1000 / 220])
@pytest.mark.parametrize("seed", range(10))
def test_times_are_in_order_and_only_named_kinds_move(seed: int, frame_ms: float) -> None:
    rng = np.random.default_rng(seed)
    rough = rng.normal(size=(400, 4)).cumsum(axis=0) * 0.5 + 4 * (np.arange(4) == OTHER)
    probabilities = np.exp(rough) / np.exp(rough).sum(axis=1, keepdims=True)
    kind, on, off, new_on, new_off = moved(probabilities, (P, T), frame_ms=frame_ms)
    assert (new_on <= new_off).all()
    assert (new_off[:-1] < new_on[1:]).all()
    assert new_on.min(initial=0) >= 0
    assert new_off.max(initial=0) <= 400 * frame_ms - 1000 / FS_HZ
    assert (on[kind == QRS] == new_on[kind == QRS]).all()
    assert (off[kind == QRS] == new_off[kind == QRS]).all()
    for k, *old, start, end in zip(kind, on, off, new_on, new_off, strict=True):
        first, last = (int((ms + 1e-6) // frame_ms) for ms in old)
        peak_ms = (first + probabilities[first : last + 1, k].argmax()) * frame_ms
        assert start <= peak_ms <= end


def test_no_wave() -> None:
    kind, _, _, on, off = moved(two_classes(P, np.zeros(50)))
    assert kind.size == on.size == off.size == 0
