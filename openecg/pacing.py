"""Pacemaker spikes in all leads of a strip: sharp, in many leads at once, ahead of the beats."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter1d, uniform_filter1d
from scipy.signal import find_peaks

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Constants in capitals are set by hand with all records of LUDB in view. The selection of
# `Thresholds`, and its cross-validation in `openecg.pacing_table`, do not cover them.
LOWEST_FS_HZ = 250.0
NEIGHBOUR_MS = 2.0  # a spike stands out from the samples so far away, or from the next ones
ALIGN_MS = 4.0  # leads show one spike if they peak this close
# Around a spike and not part of it: from and to, on either side. The filter of the recorder
# spreads a spike over two samples on either side.
SURROUND_MS = (7.0, 25.0)
SURROUND_SAMPLES = 3
BEFORE_MS = 80.0  # quiet before a spike
AFTER_MS = 320.0  # the beat it starts; as long as a PR interval, for atrial pacing
REFRACTORY_MS = 40.0  # two spikes closer than this are one
NOISE_FLOOR_MV = 0.003  # LUDB resolves 0.001 mV; keeps quotients finite in silent leads
LEAD_SHARE = 0.25  # of the mean height over leads: a lead with less does not show the spike
LEADS_SHARE = 1 / 3  # of the live leads must show a spike
# A pacemaker fires again and again, at one delay before the beat. At least so many spikes, and so
# many for each beat, as the report of openecg 0.11.0 asks for (functional spec, section 2.4).
MIN_SPIKES = 3
SPIKES_PER_BEAT = 0.3
SAME_DELAY_MS = 40.0
LONGEST_DELAY_MS = 400.0
BEAT_BIN_MS = 8.0
BEAT_SMOOTH_MS = 80.0
BEAT_DISTANCE_MS = 280.0
BEAT_HEIGHT = 0.35  # of the median activity of as many of the largest peaks as 40 beats a minute
SLOWEST_BEAT_MS = 1500.0


class Thresholds(NamedTuple):
    """What makes a peak a spike.

    Attributes
    ----------
    sharpness : float
        Least quotient of its height and the largest height in ``SURROUND_MS`` on either side.
    height_mv : float
        Least height over the samples before and after it, mean over the leads, in mV.
    calm : float
        Largest quotient of the range of the signal before and after.
    """

    sharpness: float
    height_mv: float
    calm: float


class Conditions(NamedTuple):
    """Strips for which one set of thresholds is selected: fewest leads, and lowest rate in Hz."""

    fewest_leads: int
    lowest_fs_hz: float


LOOSEST = Thresholds(sharpness=1.5, height_mv=0.01, calm=0.5)
"""Peaks below these are no candidates, whatever the thresholds."""

THRESHOLDS = {
    Conditions(9, 500.0): Thresholds(2.5, 0.015, 0.25),
    Conditions(3, 500.0): Thresholds(2.5, 0.02, 0.25),
    Conditions(1, 500.0): Thresholds(2.5, 0.01, 0.15),
    Conditions(9, LOWEST_FS_HZ): Thresholds(1.5, 0.02, 0.15),
    Conditions(3, LOWEST_FS_HZ): Thresholds(1.5, 0.03, 0.15),
    Conditions(1, LOWEST_FS_HZ): Thresholds(3.0, 0.015, 0.15),
}
"""What ``openecg.pacing_table.select_thresholds`` selects on LUDB's 159 training records, for the
first conditions that a strip fulfils; for the lower rate on the same records brought to 250 Hz."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Peaks of one strip that may be spikes, in time order.

    Attributes
    ----------
    samples : ndarray of shape (n_candidates,), dtype int64
        Where they are.
    leads : ndarray of shape (n_candidates, n_leads), dtype bool
        Which leads show them.
    sharpness, height_mv, calm : ndarray of shape (n_candidates,), dtype float64
        What ``Thresholds`` are about.
    beats : ndarray of shape (n_beats,), dtype int64
        Samples near the steepest part of each beat; not looked for where there are too few
        candidates for a pacemaker.
    n_live : int
        How many leads are neither flat nor hold NaN or infinity.
    fs_hz : float
        Sampling rate in Hz.
    """

    samples: Ints
    leads: npt.NDArray[np.bool_]
    sharpness: Floats
    height_mv: Floats
    calm: Floats
    beats: Ints
    n_live: int
    fs_hz: float


@dataclass(frozen=True, eq=False)
class Pacing:
    """Spikes of one strip.

    Attributes
    ----------
    spikes : ndarray of shape (n_spikes,), dtype int64
        Samples, ascending; none where the strip as a whole is not paced.
    leads : ndarray of shape (n_spikes, n_leads), dtype bool
        Which leads show each of them.
    paced : bool
        Whether a pacemaker drives beats of the strip.
    """

    spikes: Ints
    leads: npt.NDArray[np.bool_]
    paced: bool


def detect_pacing(signals: npt.NDArray[np.floating], *, fs_hz: float) -> Pacing:
    """Find the pacemaker spikes of a strip, from all its leads together.

    Parameters
    ----------
    signals : ndarray of shape (n_leads, n_samples), floating
        Leads in mV, as recorded: about ten seconds. A lead with NaN or infinity counts as dead.
    fs_hz : float
        Sampling rate in Hz.

    Returns
    -------
    Pacing
        Without spikes where the strip is shorter than 0.4 s or flat.

    Raises
    ------
    ValueError
        If the rate is below 250 Hz or ``signals`` is not two-dimensional.

    Notes
    -----
    A spike is a peak that a third of the live leads share, that nothing within 25 ms comes close
    to, with quiet before and a beat behind. A strip is paced if at least three spikes, and 0.3 for
    each beat, come at one delay before the beats; else no spike is reported. So one or two paced
    beats in ten seconds go unnoticed, and so does a pacemaker whose spikes the recorder filtered
    away.

    What to expect depends on the number of leads and on the rate, by which the thresholds are
    chosen: ``results/metrics/pacing_ludb.tsv`` has the figures. Below 500 Hz with one or two leads
    about half of the paced records of LUDB are missed; of the two in QTDB, one is, whose spikes
    are smeared over 20 ms. Rates above 500 Hz were seen in simulated strips only.
    """
    candidates = find_candidates(signals, fs_hz=fs_hz)
    return choose_spikes(candidates, thresholds_for(candidates.n_live, fs_hz))


def thresholds_for(n_live: int, fs_hz: float) -> Thresholds:
    """Look up the thresholds for so many live leads at a rate of 250 Hz or more."""
    return THRESHOLDS[conditions_of(n_live, fs_hz)]


def conditions_of(n_live: int, fs_hz: float) -> Conditions:
    """Tell which conditions a strip fulfils; one without a live lead counts as one lead."""
    return next(
        conditions
        for conditions in THRESHOLDS
        if max(n_live, 1) >= conditions.fewest_leads and fs_hz >= conditions.lowest_fs_hz
    )


def find_candidates(signals: npt.NDArray[np.floating], *, fs_hz: float) -> Candidates:
    """Find the peaks that may be spikes, whatever the thresholds; parameters as `detect_pacing`."""
    if not fs_hz >= LOWEST_FS_HZ:
        raise ValueError(f"sampling rate must be at least {LOWEST_FS_HZ:g} Hz, got {fs_hz}")
    if signals.ndim != 2:
        raise ValueError(f"signals must be of shape (leads, samples), got {signals.shape}")
    n_leads, n_samples = signals.shape
    values = signals.astype(np.float64)
    values[~np.isfinite(values.sum(axis=1))] = 0.0
    heights = _heights(values, _samples(NEIGHBOUR_MS, fs_hz))
    live = heights.any(axis=1)
    alive = values if live.all() else values[live]
    spots: list[int] = []
    kept: list[int] = []
    calm: list[float] = []
    leads: list[npt.NDArray[np.bool_]] = []
    height = sharpness = np.zeros(n_samples)
    if n_samples >= _samples(BEFORE_MS + AFTER_MS, fs_hz) and live.any():
        height = heights.sum(axis=0) / live.sum()  # dead leads have none
        around = _largest_around(height, *_surround(fs_hz))
        sharpness = height / (around + NOISE_FLOOR_MV)
        high = np.where(height >= LOOSEST.height_mv, sharpness, 0.0)
        distance = 2 * _samples(ALIGN_MS, fs_hz)
        peaks, _ = find_peaks(high, height=LOOSEST.sharpness, distance=distance)
        for at in peaks.tolist():
            quotient = _calm(alive, at, fs_hz)
            if quotient <= LOOSEST.calm:
                spot, shown = _localise(values, heights, height[at], at, fs_hz)
                kept.append(at)
                calm.append(quotient)
                spots.append(spot)
                leads.append(shown & live)
    enough = len(kept) >= MIN_SPIKES
    return Candidates(
        samples=np.array(spots, dtype=np.int64),
        leads=np.array(leads, dtype=bool).reshape(len(leads), n_leads),
        sharpness=sharpness[kept],
        height_mv=height[kept],
        calm=np.array(calm, dtype=np.float64),
        beats=_find_beats(alive, fs_hz) if enough else np.zeros(0, dtype=np.int64),
        n_live=int(live.sum()),
        fs_hz=fs_hz,
    )


def choose_spikes(candidates: Candidates, thresholds: Thresholds) -> Pacing:
    """Keep the candidates that pass, and tell whether they are a pacemaker's.

    Parameters
    ----------
    candidates : Candidates
        Of one strip.
    thresholds : Thresholds
        Not below ``LOOSEST``.

    Returns
    -------
    Pacing
    """
    return choose_among(candidates, passing(candidates, *thresholds))


def passing(
    candidates: Candidates,
    sharpness: float | Floats,
    height_mv: float | Floats,
    calm: float | Floats,
) -> npt.NDArray[np.bool_]:
    """Tell which candidates keep to all thresholds, each by itself.

    Parameters
    ----------
    candidates : Candidates
        Of one strip.
    sharpness, height_mv, calm : float or ndarray of shape (..., 1)
        Those of `Thresholds`; arrays are broadcast, to try many at once.

    Returns
    -------
    ndarray of shape (..., n_candidates), dtype bool
    """
    passed: npt.NDArray[np.bool_] = (
        (candidates.sharpness >= sharpness)
        & (candidates.height_mv >= height_mv)
        & (candidates.calm <= calm)
        & (candidates.leads.sum(axis=1) >= np.ceil(candidates.n_live * LEADS_SHARE))
    )
    return passed


def choose_among(candidates: Candidates, passed: npt.NDArray[np.bool_]) -> Pacing:
    """Choose spikes among those that pass, shape (n_candidates,), as `choose_spikes` does."""
    rows = np.flatnonzero(passed)
    distance = _samples(REFRACTORY_MS, candidates.fs_hz)
    kept: list[int] = []
    for i in rows[np.argsort(-candidates.sharpness[rows], kind="stable")].tolist():
        gaps = np.abs(candidates.samples[kept] - candidates.samples[i])
        if not (gaps < distance).any():
            kept.append(i)
    kept.sort()
    spikes = candidates.samples[kept]
    n_regular = _n_at_one_delay(spikes, candidates.beats, candidates.fs_hz)
    paced = n_regular >= max(MIN_SPIKES, SPIKES_PER_BEAT * candidates.beats.size)
    if not paced:
        kept = []
    return Pacing(candidates.samples[kept], candidates.leads[kept], paced)


def _samples(ms: float, fs_hz: float) -> int:
    return max(1, round(ms * fs_hz / 1000))


def _surround(fs_hz: float) -> tuple[int, int]:
    """Give the first and last distance in samples that are around a spike and not part of it."""
    inner, outer = (_samples(ms, fs_hz) for ms in SURROUND_MS)
    more = max(0, SURROUND_SAMPLES - inner)
    return inner + more, outer + more


def _heights(values: Floats, lag: int) -> Floats:
    """How far each sample lies from the mean of those ``lag`` before and after, per lead."""
    heights = np.zeros_like(values)
    if values.shape[1] > 2 * lag:
        inner = heights[:, lag:-lag]
        np.add(values[:, 2 * lag :], values[:, : -2 * lag], out=inner)
        inner /= -2
        inner += values[:, lag:-lag]
        np.abs(inner, out=inner)
    return heights


def _largest_around(height: Floats, inner: int, outer: int) -> Floats:
    """Largest height that is ``inner`` to ``outer`` samples before or after each sample."""
    width = outer - inner + 1
    # Element i: the largest of the padded elements from i to i + width - 1.
    inside = maximum_filter1d(np.pad(height, outer), width)[width // 2 :]
    before, after = inside[: height.size], inside[inner + outer :][: height.size]
    around: Floats = np.maximum(before, after)
    return around


def _calm(values: Floats, at: int, fs_hz: float) -> float:
    """Range of the signal before a spike, relative to that after it, mean over leads."""
    inner, _ = _surround(fs_hz)
    before = values[:, max(0, at - _samples(BEFORE_MS, fs_hz)) : max(1, at - inner)]
    after = values[:, at + inner : at + _samples(AFTER_MS, fs_hz)]
    if not after.shape[1]:
        return float("inf")
    return float(np.ptp(before, axis=1).mean() / (np.ptp(after, axis=1).mean() + NOISE_FLOOR_MV))


def _localise(
    values: Floats, heights: Floats, mean_height: float, at: int, fs_hz: float
) -> tuple[int, npt.NDArray[np.bool_]]:
    """Find the sample where a spike is farthest from its base, and the leads that show it."""
    align = _samples(ALIGN_MS, fs_hz)
    inner, outer = _surround(fs_hz)
    first, stop = max(0, at - align), at + align + 1
    base = np.median(values[:, max(0, at - outer) : max(1, at - inner)], axis=1, keepdims=True)
    spot = first + int(np.abs(values[:, first:stop] - base).mean(axis=0).argmax())
    before = heights[:, max(0, at - outer) : max(1, at - inner)]
    largest = np.concatenate([before, heights[:, at + inner : at + outer]], axis=1).max(axis=1)
    own = heights[:, first:stop].max(axis=1)
    return spot, (own >= LEAD_SHARE * mean_height) & (own > largest)


def _find_beats(values: Floats, fs_hz: float) -> Ints:
    """Find the steepest part of each beat; spikes, which are shorter than a bin, do not count."""
    step = _samples(BEAT_BIN_MS, fs_hz)
    n_bins = values.shape[1] // step
    bins = np.median(values[:, : n_bins * step].reshape(len(values), n_bins, step), axis=2)
    steepness = np.abs(bins[:, 2:] - bins[:, :-2]).mean(axis=0)
    activity = uniform_filter1d(steepness, round(BEAT_SMOOTH_MS / BEAT_BIN_MS))
    peaks, _ = find_peaks(activity, distance=round(BEAT_DISTANCE_MS / BEAT_BIN_MS))
    if not peaks.size:
        return np.zeros(0, dtype=np.int64)
    n_largest = max(1, round(values.shape[1] * 1000 / fs_hz / SLOWEST_BEAT_MS))
    large = np.median(np.sort(activity[peaks])[-n_largest:])
    beats: Ints = (peaks[activity[peaks] >= BEAT_HEIGHT * large] + 1) * step
    return beats


def _n_at_one_delay(spikes: Ints, beats: Ints, fs_hz: float) -> int:
    """Count the spikes that come at one delay, give or take, before the next beat."""
    at = np.searchsorted(beats, spikes)
    followed = at < beats.size
    delay_ms = np.sort((beats[at[followed]] - spikes[followed]) * 1000.0 / fs_hz)
    delay_ms = delay_ms[delay_ms <= LONGEST_DELAY_MS]
    upto = np.searchsorted(delay_ms, delay_ms + SAME_DELAY_MS, side="right")
    return int((upto - np.arange(delay_ms.size)).max(initial=0))
