"""Where the boundaries of waves are likeliest."""

import numpy as np
import numpy.typing as npt
import pytest

from openecg.score import TOLERANCES
from openecg.stage2.decoders import frames_to_waves
from openecg.stage2.likeliest import WITHIN_MS, likeliest_boundaries
from openecg.waves import OTHER, QRS, P, T

FRAME_MS, FS_HZ = 4.0, 500.0
Floats = npt.NDArray[np.float64]


def two_classes(kind: int, own: Floats) -> Floats:
    """Probabilities of one kind of wave and of background."""
    out = np.zeros((own.size, 4))
    out[:, kind], out[:, OTHER] = own, 1 - own
    return out


def moved(
    probabilities: Floats, kinds: tuple[int, ...] = (P, T)
) -> tuple[npt.NDArray[np.uint8], Floats, Floats, Floats, Floats]:
    """Kinds, times by labels and likeliest times of the waves of one window."""
    labels = probabilities.argmax(axis=1).astype(np.uint8)
    kind, on, off = frames_to_waves(labels, frame_ms=FRAME_MS, fs_hz=FS_HZ)
    rate = {"frame_ms": FRAME_MS, "fs_hz": FS_HZ}
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


def test_of_equal_intervals_it_takes_the_middle() -> None:
    own = levels((0.0, 50), (0.5, 4), (1.0, 60), (0.0, 50))
    own[52:54] = 0.51
    _, on, _, new_on, _ = moved(two_classes(P, own))
    assert on.tolist() == [208.0]
    assert 200 <= new_on[0] <= 216


def test_what_rises_again_is_another_wave() -> None:
    own = levels((0.0, 50), (0.45, 20), (0.0, 5), (1.0, 60), (0.0, 50))
    assert moved(two_classes(T, own))[3].tolist() == [300.0]
    again = levels((0.0, 30), (0.4, 30), (0.1, 30), (0.6, 60), (0.0, 50))
    assert moved(two_classes(T, again))[3].tolist() == [360.0]


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


@pytest.mark.parametrize("seed", range(20))
def test_times_are_in_order_and_only_named_kinds_move(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rough = rng.normal(size=(400, 4)).cumsum(axis=0) * 0.5 + 4 * (np.arange(4) == OTHER)
    probabilities = np.exp(rough) / np.exp(rough).sum(axis=1, keepdims=True)
    kind, on, off, new_on, new_off = moved(probabilities, (P, T))
    assert (new_on <= new_off).all()
    assert (new_off[:-1] < new_on[1:]).all()
    assert new_on.min(initial=0) >= 0
    assert new_off.max(initial=0) <= 400 * FRAME_MS - 1000 / FS_HZ
    assert (on[kind == QRS] == new_on[kind == QRS]).all()
    assert (off[kind == QRS] == new_off[kind == QRS]).all()
    for k, *old, start, end in zip(kind, on, off, new_on, new_off, strict=True):
        first, last = (int(ms // FRAME_MS) for ms in old)
        peak_ms = (first + probabilities[first : last + 1, k].argmax()) * FRAME_MS
        assert start <= peak_ms <= end


def test_no_wave() -> None:
    kind, _, _, on, off = moved(two_classes(P, np.zeros(50)))
    assert kind.size == on.size == off.size == 0


def test_intervals_are_the_tolerances_of_the_tables() -> None:
    assert TOLERANCES["martinez"] == WITHIN_MS
