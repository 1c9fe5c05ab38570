import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from openecg.stage2.postprocess import frames_to_waves


def test_a_wave_runs_from_its_first_frame_to_the_last_sample_of_its_last() -> None:
    frames = np.array([0, 1, 1, 0, 2, 3, 3], dtype=np.uint8)
    kind, on_ms, off_ms = frames_to_waves(frames, frame_ms=20, fs_hz=250)
    assert kind.tolist() == [1, 2, 3]
    assert on_ms.tolist() == [20, 80, 100]
    assert off_ms.tolist() == [56, 96, 136]


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
