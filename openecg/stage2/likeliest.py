"""Put the boundaries of waves where a hit is likeliest.

Through the onset of a wave its probability rises, and says how likely the onset is to have come by
then. Where it rises at once, that is where labels change, for there wave and background are equally
probable. Where it rises in two steps, as there are two places for the onset, labels change at one
of them or between them, wherever half is reached; the interval of tolerable error that holds most
of the rise is the better answer.
"""

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from openecg.tolerances import TOLERANCES
from openecg.waves import KINDS

Classes = npt.NDArray[np.uint8]
Times = npt.NDArray[np.float64]

WITHIN_MS = TOLERANCES["martinez"]  # half the length of the interval
ROUNDING = 1e-9  # of a quotient of ms
# How much more its middle counts than its ends, so that a rise within one interval is halved where
# labels change. 0, 0.02 and 0.1 do as well on tuning folds.
TILT = 0.1


def likeliest_boundaries(
    kind: Classes,
    on_ms: Times,
    off_ms: Times,
    probabilities: npt.NDArray[np.floating],
    *,
    frame_ms: float,
    fs_hz: float,
    kinds: Collection[int],
) -> tuple[Times, Times]:
    """Move each boundary to the middle of the interval that most probably holds it.

    Parameters
    ----------
    kind : ndarray of shape (n_waves,), dtype uint8
        Class of each wave.
    on_ms, off_ms : ndarray of shape (n_waves,), dtype float64
        Time of its first and last sample in ms, as `openecg.stage2.decoders.frames_to_waves` gives
        them.
    probabilities : ndarray of shape (n_frames, 4), floating
        Of each class, in each frame.
    frame_ms : float
        Length of a frame in ms.
    fs_hz : float
        Sampling rate in Hz of the record that marks are compared with.
    kinds : collection of int
        Classes of the waves whose boundaries move; the others stay.

    Returns
    -------
    on_ms, off_ms : ndarray of shape (n_waves,), dtype float64
        New times: no farther in than the most probable frame of the wave, no farther out than the
        wave beside it. Where an off and the on behind it would pass each other, both stay.
    """
    sample_ms = 1000.0 / fs_hz
    first = np.round(on_ms / frame_ms).astype(np.int64)
    last = np.round((off_ms + sample_ms) / frame_ms).astype(np.int64) - 1
    before = np.append(-1, last)[: last.size]
    behind = np.append(first, len(probabilities))[1:]
    new_first, new_last = first.copy(), last.copy()
    for code in kinds:
        own = probabilities[:, code].astype(np.float64)
        on_weights, off_weights = (
            _weights(WITHIN_MS[f"{KINDS[code]}_{end}"] / frame_ms) for end in ("on", "off")
        )
        for i in np.flatnonzero(kind == code):
            peak = first[i] + int(own[first[i] : last[i] + 1].argmax())
            on, off = own[before[i] + 1 : peak + 1], own[peak : behind[i]]
            new_first[i] -= _steps_out(on[::-1], peak - first[i], on_weights)
            new_last[i] += _steps_out(off, last[i] - peak, off_weights)
    passing = np.flatnonzero(new_last[:-1] >= new_first[1:])
    new_last[passing], new_first[passing + 1] = last[passing], first[passing + 1]
    new_on_ms = new_first.astype(np.float64) * frame_ms
    return new_on_ms, (new_last + 1).astype(np.float64) * frame_ms - sample_ms


def _weights(within: float) -> Times:
    """Say how much what lies so far from the middle of an interval counts.

    Parameters
    ----------
    within : float
        Half the length of the interval, in frames.
    """
    reach = int(within + ROUNDING)
    return 1.0 + TILT * (1.0 - np.abs(np.arange(-reach, reach + 1)) / max(within, 1.0))


def _steps_out(outward: Times, old: int, weights: Times) -> int:
    """Say how many frames a boundary moves outward.

    Parameters
    ----------
    outward : ndarray of shape (n,), dtype float64
        Probability of a wave, from its most probable frame to the last one that it may have. Inside
        the wave a dip is filled; outside, where it rises again, it stays what it was, for what lies
        there is another wave.
    old : int
        Last frame of the wave on that side.
    weights : ndarray of shape (2 * reach + 1,), dtype float64
        How much the frames of an interval count.
    """
    falling = outward.copy()
    falling[: old + 1] = np.maximum.accumulate(outward[old::-1])[::-1]
    np.minimum.accumulate(falling, out=falling)
    falling[:-1] -= falling[1:]  # now how much ends at each frame
    reach = weights.size // 2
    return int(np.convolve(falling, weights)[reach : reach + outward.size].argmax()) - old
