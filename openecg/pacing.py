"""Pacemaker spikes in all leads of a strip: sharp, in many leads at once, ahead of the beats."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter1d, uniform_filter1d
from scipy.signal import find_peaks

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LOWEST_FS_HZ = 250.0
JUMP_MS = 2.0  # a jump is measured over this time, or over one sample if that is longer
ALIGN_MS = 4.0  # leads show one spike if their jumps lie this close
SURROUND_MS = (7.0, 25.0)  # around a spike and not part of it: from and to, on either side
BEFORE_MS = 80.0  # quiet before a spike
AFTER_MS = 320.0  # the beat it starts; as long as a PR interval, for atrial pacing
REFRACTORY_MS = 40.0  # two spikes closer than this are one
NOISE_FLOOR_MV = 0.003  # LUDB resolves 0.001 mV; keeps quotients finite in silent leads
LEAD_SHARE = 0.25  # of the mean jump of all leads: a lead with less does not show the spike
LEADS_SHARE = 1 / 3  # of the leads must show a spike
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


@dataclass(frozen=True)
class Thresholds:
    """What makes a jump a spike.

    Attributes
    ----------
    sharpness : float
        Least quotient of the jump and the largest jump in ``SURROUND_MS`` on either side.
    jump_mv : float
        Least jump, mean over the leads, in mV.
    calm : float
        Largest quotient of the range of the signal before and after.
    """

    sharpness: float
    jump_mv: float
    calm: float


LOOSEST = Thresholds(sharpness=1.5, jump_mv=0.02, calm=1.0)
"""Jumps below these are no candidates, whatever the thresholds."""

THRESHOLDS = Thresholds(sharpness=2.0, jump_mv=0.06, calm=0.35)
"""Those that ``openecg.pacing_table.select_thresholds`` selects on LUDB's 159 training records."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Jumps of one strip that may be spikes, in time order.

    Attributes
    ----------
    samples : ndarray of shape (n_candidates,), dtype int64
        Where they are.
    leads : ndarray of shape (n_candidates, n_leads), dtype bool
        Which leads show them.
    sharpness, jump_mv, calm : ndarray of shape (n_candidates,), dtype float64
        What ``Thresholds`` are about.
    beats : ndarray of shape (n_beats,), dtype int64
        Samples near the steepest part of each beat; not looked for where there are too few
        candidates for a pacemaker.
    fs_hz : float
        Sampling rate in Hz.
    """

    samples: Ints
    leads: npt.NDArray[np.bool_]
    sharpness: Floats
    jump_mv: Floats
    calm: Floats
    beats: Ints
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
        Leads in mV, as recorded: about ten seconds.
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
    A spike is a jump within 2 ms that most leads share, that nothing within 25 ms comes close to,
    with quiet before and a beat behind. A strip is paced if at least three spikes, and 0.3 for each
    beat, come at one delay before the beats; else no spike is reported. So one or two paced
    beats in ten seconds go unnoticed, and so does a pacemaker whose spikes the recorder filtered
    away.
    """
    return choose_spikes(find_candidates(signals, fs_hz=fs_hz), THRESHOLDS)


def find_candidates(signals: npt.NDArray[np.floating], *, fs_hz: float) -> Candidates:
    """Find the jumps that may be spikes, whatever the thresholds; parameters as `detect_pacing`."""
    if not fs_hz >= LOWEST_FS_HZ:
        raise ValueError(f"sampling rate must be at least {LOWEST_FS_HZ:g} Hz, got {fs_hz}")
    if signals.ndim != 2:
        raise ValueError(f"signals must be of shape (leads, samples), got {signals.shape}")
    n_leads, n_samples = signals.shape
    jumps = np.zeros((n_leads, n_samples))
    lag = _samples(JUMP_MS, fs_hz)
    values = signals.astype(np.float64)
    np.abs(values[:, lag:] - values[:, :-lag], out=jumps[:, lag:])
    live = jumps.any(axis=1)
    spots: list[int] = []
    kept: list[int] = []
    calm: list[float] = []
    leads: list[npt.NDArray[np.bool_]] = []
    jump = sharpness = np.zeros(n_samples)
    if n_samples >= _samples(BEFORE_MS + AFTER_MS, fs_hz) and live.any():
        jump = jumps[live].mean(axis=0)
        sharpness = jump / (_largest_around(jump, fs_hz) + NOISE_FLOOR_MV)
        high = np.where(jump >= LOOSEST.jump_mv, sharpness, 0.0)
        distance = 2 * _samples(ALIGN_MS, fs_hz)
        peaks, _ = find_peaks(high, height=LOOSEST.sharpness, distance=distance)
        for at in peaks.tolist():
            quotient = _calm(values[live], at, fs_hz)
            if quotient <= LOOSEST.calm:
                spot, shown = _localise(values, jumps, jump[at], at, fs_hz)
                kept.append(at)
                calm.append(quotient)
                spots.append(spot)
                leads.append(shown & live)
    enough = len(kept) >= MIN_SPIKES
    return Candidates(
        samples=np.array(spots, dtype=np.int64),
        leads=np.array(leads, dtype=bool).reshape(len(leads), n_leads),
        sharpness=sharpness[kept],
        jump_mv=jump[kept],
        calm=np.array(calm, dtype=np.float64),
        beats=_find_beats(values[live], fs_hz) if enough else np.zeros(0, dtype=np.int64),
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
    n_leads = candidates.leads.shape[1]
    passed = np.flatnonzero(
        (candidates.sharpness >= thresholds.sharpness)
        & (candidates.jump_mv >= thresholds.jump_mv)
        & (candidates.calm <= thresholds.calm)
        & (candidates.leads.sum(axis=1) >= np.ceil(n_leads * LEADS_SHARE))
    )
    distance = _samples(REFRACTORY_MS, candidates.fs_hz)
    kept: list[int] = []
    for i in passed[np.argsort(-candidates.sharpness[passed], kind="stable")].tolist():
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


def _largest_around(jump: Floats, fs_hz: float) -> Floats:
    """Largest jump in ``SURROUND_MS`` before or after each sample."""
    inner, outer = (_samples(ms, fs_hz) for ms in SURROUND_MS)
    width = outer - inner + 1
    inside = maximum_filter1d(jump, width, mode="constant")
    shift = inner + width // 2
    around = np.zeros_like(jump)
    around[shift:] = inside[:-shift]
    around[:-shift] = np.maximum(around[:-shift], inside[shift:])
    return around


def _calm(values: Floats, at: int, fs_hz: float) -> float:
    """Range of the signal before a spike, relative to that after it, mean over leads."""
    inner = _samples(SURROUND_MS[0], fs_hz)
    before = values[:, max(0, at - _samples(BEFORE_MS, fs_hz)) : max(1, at - inner)]
    after = values[:, at + inner : at + _samples(AFTER_MS, fs_hz)]
    if not after.shape[1]:
        return float("inf")
    return float(np.ptp(before, axis=1).mean() / (np.ptp(after, axis=1).mean() + NOISE_FLOOR_MV))


def _localise(
    values: Floats, jumps: Floats, mean_jump: float, at: int, fs_hz: float
) -> tuple[int, npt.NDArray[np.bool_]]:
    """Find the sample where a spike is farthest from its base, and the leads that show it."""
    align = _samples(ALIGN_MS, fs_hz)
    inner, outer = (_samples(ms, fs_hz) for ms in SURROUND_MS)
    first, stop = max(0, at - align), at + align + 1
    base = np.median(values[:, max(0, at - outer) : max(1, at - inner)], axis=1, keepdims=True)
    spot = first + int(np.abs(values[:, first:stop] - base).mean(axis=0).argmax())
    around = (jumps[:, max(0, at - outer) : max(1, at - inner)], jumps[:, at + inner : at + outer])
    largest = np.concatenate(around, axis=1).max(axis=1)
    own = jumps[:, first:stop].max(axis=1)
    return spot, (own >= LEAD_SHARE * mean_jump) & (own > largest)


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
