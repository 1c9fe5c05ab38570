"""Signals and mark times at another sampling rate, and their scale."""

from fractions import Fraction

import numpy as np
import numpy.typing as npt
from scipy.signal import decimate, resample_poly

from openecg.waves import NOT_MARKED

LONGEST_RATIO = 100_000  # the filter has 20 times as many coefficients


def resample(
    signal: npt.NDArray[np.floating], *, fs_in_hz: float, fs_out_hz: float
) -> npt.NDArray[np.float32]:
    """Bring a signal to another sampling rate without moving it in time.

    Output sample k lies at time k / ``fs_out_hz``. A whole factor down is done by a zero-phase
    IIR low-pass (`scipy.signal.decimate`), as in functional spec 4.1; any other ratio by a
    symmetric FIR filter (`scipy.signal.resample_poly`).

    Parameters
    ----------
    signal : ndarray of shape (n,), any float dtype
        Samples at ``fs_in_hz``.
    fs_in_hz, fs_out_hz : float
        Sampling rates in Hz; both must be positive.

    Returns
    -------
    ndarray of shape (ceil(n * fs_out_hz / fs_in_hz),), dtype float32
        Samples at ``fs_out_hz``, in the unit of ``signal``; equal rates give equal values.

    Raises
    ------
    ValueError
        If a rate is not positive, or the rates have no ratio of numbers up to ``LONGEST_RATIO``.
    """
    if fs_in_hz <= 0 or fs_out_hz <= 0:
        raise ValueError(f"sampling rates must be positive, got {fs_in_hz} and {fs_out_hz} Hz")
    ratio = Fraction(str(fs_out_hz)) / Fraction(str(fs_in_hz))
    if max(ratio.numerator, ratio.denominator) > LONGEST_RATIO:
        raise ValueError(
            f"{fs_in_hz} and {fs_out_hz} Hz are as {ratio.numerator} to {ratio.denominator}; "
            f"numbers up to {LONGEST_RATIO} are allowed"
        )
    wide = signal.astype(np.float64)
    if ratio == 1:
        moved = wide
    elif ratio.numerator == 1:
        moved = decimate(wide, ratio.denominator, zero_phase=True)
    else:
        # "line" takes the edges as level with the signal; zeros there would ring.
        moved = resample_poly(wide, ratio.numerator, ratio.denominator, padtype="line")
    return np.asarray(moved, dtype=np.float32)


def z_score(signal: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Subtract the mean and divide by the standard deviation + 1e-6 (functional spec 4.1).

    Parameters
    ----------
    signal : ndarray of shape (..., n), any float dtype
        Each row is scaled by itself.

    Returns
    -------
    ndarray of the same shape, dtype float32
        Without unit.
    """
    wide = signal.astype(np.float64)
    mean = wide.mean(axis=-1, keepdims=True)
    std = wide.std(axis=-1, keepdims=True)
    return np.asarray((wide - mean) / (std + 1e-6), dtype=np.float32)


def to_ms(samples: npt.NDArray[np.int64], *, fs_hz: float) -> npt.NDArray[np.float64]:
    """Turn positions into times; ``openecg.waves.waves_from_ms`` turns them back exactly.

    Parameters
    ----------
    samples : ndarray of int64
        Positions counted from 0, ``NOT_MARKED`` where there is none.
    fs_hz : float
        Sampling rate in Hz.

    Returns
    -------
    ndarray of the same shape, dtype float64
        Times in ms, NaN where there is none.
    """
    times: npt.NDArray[np.float64] = np.where(
        samples == NOT_MARKED, np.nan, samples * 1000.0 / fs_hz
    )
    return times
