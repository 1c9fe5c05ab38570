"""Turn a delineation and pacer spikes into events."""

import re
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from openecg import vocab
from openecg.cells import FORCED, GRIDS, NEAREST, fit_runs
from openecg.codec import MS_PER_UNIT, Event, from_frames
from openecg.delineate import Delineation

# A Q in the symbols of a stream, also one that pacer spikes cut.
Q_RUN = re.compile(b"%c(?:%c%c)*" % (vocab.ID_Q, vocab.ID_PACER_SPIKE, vocab.ID_Q))
WIDE_QRS_MS = 120.0  # the usual limit of a normal QRS; functional-spec.md, section 2.2


class Labels(NamedTuple):
    """What a strip becomes.

    Attributes
    ----------
    events : list of (symbol id, length in ms)
        Neighbours differ in their symbol. One ``?`` over the whole strip if there is no beat.
    n_q_lost : int
        Q peaks of the delineation whose beat has no ``q`` among the events.
    """

    events: list[Event]
    n_q_lost: int


def label_events(
    beats: Delineation,
    spikes: npt.NDArray[np.int64],
    *,
    n_samples: int,
    fs_hz: float,
    grid: str = NEAREST,
) -> Labels:
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
    grid : str
        How samples become multiples of 4 ms: ``nearest`` (`on_grid`), or ``forced``
        (`on_forced_grid`), the way of the reference system.

    Returns
    -------
    Labels

    Raises
    ------
    ValueError
        If ``grid`` is unknown or the sampling rate is not positive.

    Notes
    -----
    Where waves overlap, spikes win over QRS, QRS over T, T over P. Positions outside the strip move
    to its edge. A Q that a spike cuts in two is one Q.
    """
    if grid not in GRIDS:
        raise ValueError(f"unknown grid {grid!r}; one of {', '.join(GRIDS)}")
    lay = {NEAREST: on_grid, FORCED: on_forced_grid}[grid]
    if beats.n_beats == 0:
        return Labels(lay(np.full(n_samples, vocab.ID_UNK, dtype=np.uint8), fs_hz=fs_hz), 0)
    symbols, bounds = _draw_waves(beats, n_samples=n_samples, fs_hz=fs_hz)
    n_before = np.concatenate([[0], np.cumsum(symbols == vocab.ID_Q)])
    n_q = int(np.count_nonzero(n_before[bounds[:, 1]] > n_before[bounds[:, 0]]))
    symbols[spikes] = vocab.ID_PACER_SPIKE
    events = lay(symbols, fs_hz=fs_hz)
    # The grid may drop a Q that has no room.
    n_kept = min(n_q, len(Q_RUN.findall(bytes([symbol for symbol, _ in events]))))
    return Labels(events, int(np.count_nonzero(~np.isnan(beats.q_peak))) - n_kept)


def label_waves(beats: Delineation, *, n_samples: int, fs_hz: float) -> npt.NDArray[np.uint8]:
    """Give the symbol of each sample, spikes apart; parameters as `label_events`.

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
    return _draw_waves(beats, n_samples=n_samples, fs_hz=fs_hz)[0]


def _draw_waves(
    beats: Delineation, *, n_samples: int, fs_hz: float
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Give the symbol of each sample, and where Q, R and S begin and S ends in each QRS."""
    symbols = np.full(n_samples, vocab.ID_ISO, dtype=np.uint8)
    ends = (beats.p_on, beats.p_off, beats.t_on, beats.t_off, beats.r_on, beats.r_off)
    middles = ((beats.q_peak + beats.r_peak) // 2, (beats.r_peak + beats.s_peak) // 2)
    marks = np.stack([*ends, *middles])
    missing, at = np.isnan(marks), _inside(marks, n_samples)
    for symbol, on in ((vocab.ID_P, 0), (vocab.ID_T, 2)):
        whole = ~(missing[on] | missing[on + 1])
        for i, j in at[on : on + 2, whole].T.tolist():
            symbols[i : j + 1] = symbol

    whole = ~(missing[4] | missing[5])
    first, last, q_end, s_start = at[4:, whole]
    no_q, no_s = missing[6:, whole]
    q_end, s_start = np.where(no_q, first, q_end), np.where(no_s, last + 1, s_start)
    bounds = np.stack([first, q_end, s_start, last + 1], axis=1)
    undivided = (np.isnan(beats.q_peak) & np.isnan(beats.s_peak))[whole]
    for (i, j, k, stop), is_whole in zip(bounds.tolist(), undivided.tolist(), strict=True):
        if is_whole and (stop - 1 - i) * 1000 / fs_hz > WIDE_QRS_MS:
            symbols[i:stop] = vocab.ID_WIDE_QRS
            continue
        symbols[i:j] = vocab.ID_Q
        symbols[j:k] = vocab.ID_R
        symbols[k:stop] = vocab.ID_S
    return symbols, bounds


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
    sample = _sample_of_unit(symbols.size, per_unit)
    if sample.size == 0:
        return []
    starts = np.concatenate([[0], np.flatnonzero(symbols[1:] != symbols[:-1]) + 1])
    runs = symbols[starts]
    n_units = np.diff(np.searchsorted(sample, starts), append=sample.size)
    if n_units.all():
        ms = n_units * MS_PER_UNIT
        return list(zip(runs.tolist(), ms.tolist(), strict=True))
    begins = (starts / per_unit).astype(np.int64)
    owner = fit_runs(n_units, begins, runs == vocab.ID_PACER_SPIKE)
    return from_frames(runs[owner], MS_PER_UNIT)


def on_forced_grid(symbols: npt.NDArray[np.uint8], *, fs_hz: float) -> list[Event]:
    """Join equal samples to events on the 4 ms grid, the way of the reference system.

    Parameters and errors as `on_grid`.

    Returns
    -------
    list of (symbol id, length in ms)
        Every run of equal samples is there.

    Notes
    -----
    The end of each run is rounded to the grid, halves to even, and its length is what is missing up
    to there: 4 ms where nothing is. Such a run pushes those behind it, and may make the strip
    longer. Shared facts, section 2.2.
    """
    if not fs_hz > 0:
        raise ValueError(f"sampling rate must be positive, got {fs_hz}")
    ends = np.append(np.flatnonzero(symbols[1:] != symbols[:-1]) + 1, symbols.size)
    units = np.rint(ends * (1000 / fs_hz / MS_PER_UNIT)).astype(np.int64)
    events: list[Event] = []
    told = 0
    for symbol, end in zip(symbols[ends - 1].tolist(), units.tolist(), strict=True):
        length = max(1, end - told)
        told += length
        events.append((symbol, length * MS_PER_UNIT))
    return events


@cache
def _sample_of_unit(n_samples: int, per_unit: float) -> npt.NDArray[np.int64]:
    """Give the sample that decides on each unit of 4 ms, ascending.

    A bound rounds to or below a unit if it lies before the middle of it. One right in the middle
    rounds to the even side: below an even unit, above an odd one.
    """
    unit = np.arange(round(n_samples / per_unit), dtype=np.int64)
    middle = (unit + 0.5) * per_unit
    sample = np.where(unit % 2 == 0, np.floor(middle), np.ceil(middle) - 1)
    found: npt.NDArray[np.int64] = np.minimum(sample, n_samples - 1).astype(np.int64)
    found.flags.writeable = False
    return found


def _inside(samples: npt.NDArray[np.float64], n_samples: int) -> npt.NDArray[np.int64]:
    """Move positions to the strip and cut them to whole samples; NaN becomes 0."""
    return np.fmin(np.fmax(samples, 0), n_samples - 1).astype(np.int64)
