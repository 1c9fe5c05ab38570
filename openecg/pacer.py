"""Pacemaker spikes in one lead."""

from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, filtfilt, find_peaks

# Detector 1.0 of the reference system: functional-spec.md, section 2.3.
HIGH_PASS_HZ = 80.0
FILTER_ORDER = 4
SIGMAS = 5.0
FLOOR_MV = 0.1
MIN_DISTANCE_MS = 5.0
MAX_WIDTH_MS = 4.0
MAD_TO_SIGMA = 1.4826  # makes the median absolute deviation of Gaussian noise its SD


def detect_spikes(signal: npt.NDArray[np.floating], *, fs_hz: float) -> npt.NDArray[np.int64]:
    """Find narrow high-frequency peaks that may be pacemaker spikes.

    Parameters
    ----------
    signal : ndarray of shape (n_samples,), floating
        One lead in mV.
    fs_hz : float
        Sampling rate in Hz.

    Returns
    -------
    ndarray of shape (n_spikes,), dtype int64
        Samples of the spikes, ascending. None where the strip is too short to be filtered.

    Raises
    ------
    ValueError
        If the rate is not above 160 Hz, twice the corner of the filter.

    Notes
    -----
    Detector 1.0 of the reference system. On LUDB it finds a spike in some lead of each of the ten
    paced records, and 8.07 false ones in 10 s of twelve leads on 30 records without a pacemaker.
    At 250 Hz it is blind to spikes of one sample: the filter makes them wider than it allows.
    """
    if not fs_hz > 2 * HIGH_PASS_HZ:
        raise ValueError(f"sampling rate must exceed {2 * HIGH_PASS_HZ:g} Hz, got {fs_hz}")
    b, a = _high_pass(fs_hz)
    padding = 3 * max(len(a), len(b))  # of filtfilt
    if signal.size <= padding:
        return np.zeros(0, dtype=np.int64)
    high = filtfilt(b, a, signal.astype(np.float64), padlen=padding)
    sigma = MAD_TO_SIGMA * np.median(np.abs(high - np.median(high)))
    half_cycle = fs_hz / HIGH_PASS_HZ
    distance = max(int(MIN_DISTANCE_MS * fs_hz / 1000), int(half_cycle), 1)
    width = max(1, int(MAX_WIDTH_MS * fs_hz / 1000)) + max(1, int(half_cycle / 2))
    spikes, _ = find_peaks(
        np.abs(high), height=max(SIGMAS * sigma, FLOOR_MV), distance=distance, width=(None, width)
    )
    found: npt.NDArray[np.int64] = spikes.astype(np.int64)
    return found


@cache
def _high_pass(fs_hz: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    b, a = butter(FILTER_ORDER, HIGH_PASS_HZ, btype="highpass", fs=fs_hz)
    return b, a
