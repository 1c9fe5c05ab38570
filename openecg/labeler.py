"""Turn a delineation and pacer spikes into events."""

import numpy as np
import numpy.typing as npt

from openecg import vocab
from openecg.codec import MS_PER_UNIT, Event, from_frames
from openecg.delineate import Delineation

WIDE_QRS_MS = 120.0  # the usual limit of a normal QRS; shared facts, section 2.2


def label_events(
    beats: Delineation, spikes: npt.NDArray[np.int64], *, n_samples: int, fs_hz: float
) -> list[Event]:
    """Describe a strip from its first sample to its last as events on the 4 ms grid.

    Parameters
    ----------
    beats : Delineation
        Boundaries in samples at ``fs_hz``.
    spikes : ndarray of shape (n_spikes,), dtype int64
        Samples of pacer spikes, inside the strip.
    n_samples : int
        Length of the strip.
    fs_hz : float
        Sampling rate in Hz.

    Returns
    -------
    list of (symbol id, length in ms)
        Neighbours differ in their symbol. One ``?`` over the whole strip if there is no beat.

    Notes
    -----
    Where waves overlap, spikes win over QRS, QRS over T, T over P. Positions outside the strip move
    to its edge. `on_grid` tells how samples become multiples of 4 ms.
    """
    if beats.n_beats == 0:
        return on_grid(np.full(n_samples, vocab.ID_UNK, dtype=np.uint8), fs_hz=fs_hz)
    symbols = label_samples(beats, spikes, n_samples=n_samples, fs_hz=fs_hz)
    return on_grid(symbols, fs_hz=fs_hz)


def label_samples(
    beats: Delineation, spikes: npt.NDArray[np.int64], *, n_samples: int, fs_hz: float
) -> npt.NDArray[np.uint8]:
    """Give the symbol of each sample; parameters as `label_events`.

    Returns
    -------
    ndarray of shape (n_samples,), dtype uint8
        Symbol ids. A wave needs both ends; it is the closed interval between them.

    Notes
    -----
    A QRS without Q and S peak that lasts over 120 ms is ``wide_QRS``. Any other is Q up to the
    middle between Q and R peak, S from the middle between R and S peak on, and R between; without
    a Q (S) peak the R part starts (ends) with the complex. NeuroKit may put a Q or S peak so far
    outside the complex that this middle lies outside too. Then R reaches out to it, and there is no
    Q or S: the Q-loss of the reference system, which has the same rule.
    """
    symbols = np.full(n_samples, vocab.ID_ISO, dtype=np.uint8)
    for symbol, on, off in (
        (vocab.ID_P, beats.p_on, beats.p_off),
        (vocab.ID_T, beats.t_on, beats.t_off),
    ):
        for i in np.flatnonzero(~np.isnan(on) & ~np.isnan(off)):
            first, last = _inside(on[i], n_samples), _inside(off[i], n_samples)
            symbols[first : last + 1] = symbol
    for i in np.flatnonzero(~np.isnan(beats.r_on) & ~np.isnan(beats.r_off)):
        first, last = _inside(beats.r_on[i], n_samples), _inside(beats.r_off[i], n_samples)
        q, r, s = beats.q_peak[i], beats.r_peak[i], beats.s_peak[i]
        if np.isnan(q) and np.isnan(s) and (last - first) * 1000 / fs_hz > WIDE_QRS_MS:
            symbols[first : last + 1] = vocab.ID_WIDE_QRS
            continue
        q_end = first if np.isnan(q + r) else _inside((q + r) // 2, n_samples)
        s_start = last + 1 if np.isnan(r + s) else _inside((r + s) // 2, n_samples)
        symbols[first:q_end] = vocab.ID_Q
        symbols[q_end:s_start] = vocab.ID_R
        symbols[s_start : last + 1] = vocab.ID_S
    symbols[spikes] = vocab.ID_PACER_SPIKE
    return symbols


def on_grid(symbols: npt.NDArray[np.uint8], *, fs_hz: float) -> list[Event]:
    """Join equal samples to events whose bounds lie on the 4 ms grid.

    Parameters
    ----------
    symbols : ndarray of shape (n_samples,), dtype uint8
        Symbol id of each sample.
    fs_hz : float
        Sampling rate in Hz.

    Returns
    -------
    list of (symbol id, length in ms)
        Lengths are whole multiples of 4 ms and neighbours differ in their symbol. Their sum is
        that of the strip rounded to 4 ms; none where that is 0.

    Raises
    ------
    ValueError
        If the sampling rate is not positive.

    Notes
    -----
    Each bound is rounded to the grid by itself, halves to even, so it lies within 2 ms of its time
    whatever came before. What would vanish between two bounds on one grid point takes the unit it
    begins in from its neighbour, which moves a bound by up to 4 ms in all. A neighbour with no
    other unit keeps it, and the short one is dropped, unless it is a pacer spike: spikes always get
    their unit. Spikes in one unit or in adjacent ones join.
    """
    if not fs_hz > 0:
        raise ValueError(f"sampling rate must be positive, got {fs_hz}")
    per_unit = fs_hz * MS_PER_UNIT / 1000
    unit = np.arange(round(symbols.size / per_unit), dtype=np.int64)
    if unit.size == 0:
        return []
    starts = np.flatnonzero(np.diff(symbols, prepend=np.uint8(255)))
    # A bound rounds to or below a unit if it lies before the middle of it. One right in the middle
    # rounds to the even side: below an even unit, above an odd one.
    middle = (unit + 0.5) * per_unit
    sample = np.where(unit % 2 == 0, np.floor(middle), np.ceil(middle) - 1)
    owner = np.searchsorted(starts, np.minimum(sample, symbols.size - 1), side="right") - 1
    n_units = np.bincount(owner, minlength=starts.size)
    for lost in np.flatnonzero(n_units == 0):
        at = min(int(starts[lost] / per_unit), unit.size - 1)
        if n_units[owner[at]] > 1 or symbols[starts[lost]] == vocab.ID_PACER_SPIKE:
            n_units[owner[at]] -= 1
            n_units[lost] += 1
            owner[at] = lost
    return from_frames(symbols[starts[owner]], MS_PER_UNIT)


def _inside(sample: float, n_samples: int) -> int:
    return min(max(int(sample), 0), n_samples - 1)
