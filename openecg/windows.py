"""Windows of equal length, laid where a lead is annotated."""

from fractions import Fraction

import numpy as np
import numpy.typing as npt

from openecg.errors import DataError
from openecg.waves import NOT_MARKED, Waves

# QTDB marks lie in one to a few runs of beats per record; 12,500 samples at 250 Hz part two runs
# (functional spec, section 4.2).
MAX_GAP_S = 50.0
# A record may differ from a window by this much and still count as one: ISP has 9,998 to 9,999
# samples at 1000 Hz. Windows of longer records start at whole multiples of it.
SLACK_MS = 20


def cut_windows(
    waves: Waves,
    *,
    n_samples: int,
    fs_hz: float,
    window_s: float,
    max_gap_s: float = MAX_GAP_S,
) -> list[tuple[int, int]]:
    """Choose the windows of a lead.

    A lead as long as a window, give or take 20 ms, is one window from sample 0. In a longer lead
    the marks are split to clusters, and each cluster is covered by the fewest windows that do,
    side by side, centred on the cluster and shifted to stay inside the lead; those that then hold
    no mark are left out.

    Parameters
    ----------
    waves : Waves
        Waves of the lead at ``fs_hz``.
    n_samples : int
        Samples of the lead.
    fs_hz, window_s : float
        Sampling rate in Hz and length of a window in s; their product must be whole.
    max_gap_s : float
        A longer gap between two marks, in s, starts a new cluster.

    Returns
    -------
    list of (start, n_samples)
        First sample and number of samples of each window, in time order, never overlapping. Only
        a lead shorter than a window gives fewer samples than a window. Empty if a long lead has
        no mark.

    Raises
    ------
    ValueError
        If a window is no whole number of samples, or ``max_gap_s`` is under 2.5 windows, so that
        the windows of two clusters might overlap.
    DataError
        If the lead is more than 20 ms shorter than a window.

    Notes
    -----
    In long leads windows start at multiples of 20 ms that are whole samples, so that a
    start is a whole sample at the working rate too. Where a cluster reaches to the end of a lead
    that is no whole number of windows long, the marks that do not fit are left out.
    """
    exact = Fraction(str(fs_hz)) * Fraction(str(window_s))
    if exact.denominator != 1:
        raise ValueError(f"a window of {window_s} s is no whole number of samples at {fs_hz} Hz")
    window = int(exact)
    slack = Fraction(str(fs_hz)) * SLACK_MS / 1000
    if n_samples < window - slack:
        raise DataError(
            f"{n_samples} samples at {fs_hz:g} Hz are shorter than a window of {window_s:g} s; "
            f"at least {window - int(slack)} are needed"
        )
    if n_samples <= window + slack:
        return [(0, min(n_samples, window))]
    if max_gap_s < 2.5 * window_s:
        raise ValueError(
            f"max_gap_s must be at least 2.5 windows of {window_s:g} s, got {max_gap_s:g} s"
        )
    grid = slack.numerator
    windows = []
    for first, last in _clusters(waves, max_gap=max_gap_s * fs_hz):
        count = min(-(-(last + 1 - first) // window), n_samples // window)
        start = _fit(first, last, count * window, grid=grid, n_samples=n_samples)
        covered = start <= first and last < start + count * window
        if not covered and (count + 1) * window <= n_samples:
            count += 1
            start = _fit(first, last, count * window, grid=grid, n_samples=n_samples)
        windows += [(start + k * window, window) for k in range(count)]
    return [w for w in windows if waves_in_window(waves, *w).kind.size]


def waves_in_window(waves: Waves, start: int, n_samples: int) -> Waves:
    """Take the waves of a window, counted from its first sample.

    Parameters
    ----------
    waves : Waves
        Waves of the lead.
    start, n_samples : int
        First sample and number of samples of the window.

    Returns
    -------
    Waves
        The waves with a mark inside; marks outside become ``NOT_MARKED``, so a wave cut by the
        edge is an incomplete one.
    """
    marks = waves.marks
    inside = (marks >= start) & (marks < start + n_samples) & (marks != NOT_MARKED)
    moved = np.where(inside, marks - start, NOT_MARKED)
    kept = inside.any(axis=1)
    on, peak, off = moved[kept].T
    return Waves(waves.kind[kept], on, peak, off)


def _clusters(waves: Waves, *, max_gap: float) -> list[tuple[int, int]]:
    """First and last mark of each run of marks that no gap over ``max_gap`` samples interrupts."""
    marks: npt.NDArray[np.int64] = np.sort(waves.marks[waves.marks != NOT_MARKED])
    runs = np.split(marks, np.flatnonzero(np.diff(marks) > max_gap) + 1)
    return [(int(run[0]), int(run[-1])) for run in runs if run.size]


def _fit(first: int, last: int, length: int, *, grid: int, n_samples: int) -> int:
    """Start of ``length`` samples on the grid and inside the lead.

    They are centred on the cluster, or begin with it where it is longer than they are.
    """
    start = min(first, (first + last + 1 - length) // 2)
    return max(min(start, n_samples - length) // grid * grid, 0)
