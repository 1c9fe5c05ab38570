"""A made-up heart seen by ECG leads: every wave boundary is known because it was put there.

Waves are lobes of a moving dipole, each zero outside its wave. The dipole is projected on the
leads, so all leads tell of one heart. Positions are samples counted from 0; a wave is the closed
interval from ``on`` to ``off``. Dipole axes are those of Frank: x to the left, y to the feet, z to
the back; amplitudes are in mV.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.signal import decimate

from openecg.leads import LEADS
from openecg.waves import QRS, P, T

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LIMB_LEADS = frozenset(LEADS[:6])
ELECTRODES = ("RA", "LA", "LL", "C1", "C2", "C3", "C4", "C5", "C6")


@dataclass(frozen=True)
class Kind:
    """What the heart does during one record; the cells are worded as in the LUDB table.

    Attributes
    ----------
    rhythm, conduction, extrasystole, pacing : str
        Cells of the LUDB table.
    share : float
        Part of all records; close to the shares in LUDB.
    rr_s : tuple of float
        The mean interval of a record is drawn from here, in s (P to P where there are P waves).
    spread, breathing : float
        Relative random and respiratory variation of the intervals.
    atria : str
        ``sinus`` gives P waves; ``fibrillation`` and ``flutter`` give none.
    pr_s : tuple of float
        P onset to QRS onset is drawn from here, in s.
    block : str
        ``wenckebach`` or ``mobitz``: the last P of every group has no QRS.
    qrs : str
        Key of ``QRS_SHAPES``.
    ectopy : float
        Chance of a ventricular extrasystole in place of a beat.
    """

    rhythm: str
    share: float
    rr_s: tuple[float, float] = (0.66, 0.96)
    spread: float = 0.015
    breathing: float = 0.02
    atria: Literal["sinus", "fibrillation", "flutter"] = "sinus"
    pr_s: tuple[float, float] = (0.14, 0.19)
    block: Literal["", "wenckebach", "mobitz"] = ""
    qrs: Literal["narrow", "right_block", "left_block", "paced"] = "narrow"
    ectopy: float = 0.0
    conduction: str = ""
    extrasystole: str = ""
    pacing: str = ""


_SINUS = Kind("Sinus rhythm", 0.50)
_FIBRILLATION = Kind(
    "Atrial fibrillation", 0.065, (0.60, 0.95), spread=0.2, breathing=0.0, atria="fibrillation"
)
# In this order for the first records, so that also few records hold many kinds.
KINDS = (
    _SINUS,
    _FIBRILLATION,
    replace(
        _SINUS,
        share=0.035,
        pr_s=(0.15, 0.19),
        qrs="paced",
        pacing="Pacemaker presence, undefined\nP-synchrony\nUnipolar ventricular pacing",
    ),
    replace(_SINUS, share=0.04, rr_s=(0.8, 1.0), pr_s=(0.23, 0.30), conduction="I degree av block"),
    replace(_SINUS, share=0.03, qrs="left_block", conduction="Complete left bundle branch block"),
    Kind("Sinus bradycardia", 0.12, (1.04, 1.30)),
    replace(
        _SINUS,
        share=0.04,
        rr_s=(0.75, 0.96),
        ectopy=0.22,
        extrasystole="Ventricular extrasystole, localisation: rvot, anterior wall\n"
        "Ventricular extrasystole, type: single pvc",
    ),
    Kind("Sinus arrhythmia", 0.04, (0.80, 1.00), breathing=0.15),
    replace(
        _SINUS,
        share=0.015,
        rr_s=(0.82, 0.98),
        pr_s=(0.16, 0.20),
        block="wenckebach",
        conduction="Ii degree av block, type 1",
    ),
    Kind("Atrial flutter, typical", 0.015, (0.40, 0.96), 0.0, 0.0, atria="flutter"),
    replace(_SINUS, share=0.04, qrs="right_block", conduction="Complete right bundle branch block"),
    Kind("Sinus tachycardia", 0.02, (0.50, 0.57), spread=0.01, pr_s=(0.12, 0.14)),
    replace(
        _SINUS,
        share=0.015,
        rr_s=(0.66, 0.82),
        pr_s=(0.16, 0.22),
        block="mobitz",
        conduction="Ii degree av block, type 2",
    ),
    Kind("Irregular sinus rhythm", 0.01, (0.75, 0.95), spread=0.12),
    replace(
        _FIBRILLATION,
        share=0.01,
        rr_s=(0.80, 1.00),
        spread=0.002,
        qrs="paced",
        pacing="Pacemaker presence, undefined\nUnipolar ventricular pacing",
    ),
    replace(
        _FIBRILLATION,
        rhythm="Atrial fibrillation\nAberrant conduction",
        share=0.005,
        qrs="right_block",
    ),
)

# No interval between QRS complexes is shorter or longer than this, dropped beats included, in s.
RR_LIMITS_S = (0.38, 2.2)
# Between two waves of the limb leads at least this much is left free, and this is the most by
# which a mark of a chest lead may differ from them, in s.
GAP_S = 0.03
SCATTER_LIMIT_S = 0.008
SCATTER_SD_S = 0.003
# Pacemaker pulses: the lead of their middle over the QRS, and their width, in s. They are drawn at
# this rate or more and low-passed on the way to that of the recording, as a recorder does.
PULSE_BEFORE_QRS_S = 0.012
PULSE_WIDTH_S = (0.0005, 0.002)
PULSE_FS_HZ = 4000.0
# Height times width: at 500 Hz as high above its neighbours as in the paced records of LUDB.
PULSE_MV_MS = (0.45, 3.3)

# Rows of lobes: start and end as parts of the wave, then x, y, z in mV.
_Shape = tuple[tuple[float, float, float, float, float], ...]
P_SHAPE: _Shape = ((0.0, 0.72, 0.06, 0.09, -0.05), (0.28, 1.0, 0.07, 0.05, 0.05))
T_SHAPE: _Shape = ((0.0, 1.0, 0.26, 0.17, -0.16),)
BIPHASIC_T_SHAPE: _Shape = ((0.0, 0.6, 0.20, 0.14, -0.17), (0.42, 1.0, -0.02, -0.10, 0.17))
QRS_SHAPES: dict[str, _Shape] = {
    # septum, front of the left ventricle, its side and underside, base
    "narrow": (
        (0.0, 0.38, -0.12, -0.08, -0.24),
        (0.16, 0.60, 0.75, 0.28, 0.00),
        (0.32, 0.78, 0.35, 0.55, 0.42),
        (0.56, 1.0, -0.15, -0.12, 0.42),
    ),
    # the right ventricle last: to the right and to the front
    "right_block": (
        (0.0, 0.28, -0.12, -0.08, -0.24),
        (0.10, 0.40, 0.65, 0.25, 0.05),
        (0.20, 0.52, 0.35, 0.50, 0.35),
        (0.42, 1.0, -0.42, -0.05, -0.50),
    ),
    # the left ventricle late, with a notch on the way
    "left_block": (
        (0.0, 0.45, 0.30, 0.35, -0.15),
        (0.20, 0.70, 0.75, 0.30, 0.55),
        (0.50, 1.0, 0.50, -0.10, 0.70),
    ),
    # from the tip of the right ventricle upwards
    "paced": (
        (0.0, 0.50, 0.20, -0.35, -0.35),
        (0.22, 0.75, 0.65, -0.75, 0.40),
        (0.50, 1.0, 0.10, -0.35, 0.75),
    ),
    # from the right outflow tract downwards
    "ectopic": (
        (0.0, 0.50, -0.10, 0.50, -0.20),
        (0.20, 0.75, 0.20, 0.95, 0.55),
        (0.48, 1.0, 0.40, 0.40, 0.50),
    ),
}
QRS_DURATION_S = {
    "narrow": (0.082, 0.104),
    "right_block": (0.125, 0.15),
    "left_block": (0.13, 0.16),
    "paced": (0.15, 0.18),
    "ectopic": (0.14, 0.17),
}
# T is slow to rise and fast to fall: its phase runs as a power of time.
_SKEW = {P: 1.0, QRS: 1.0, T: 1.3}
_POWER = {P: 1.4, QRS: 1.2, T: 1.6}

# Leads from the Frank dipole: Dower, Machado, Osborne, Clin Cardiol 3:87 (1980), table 1.
_LEAD_I, _LEAD_II = np.array([0.632, -0.235, 0.059]), np.array([0.235, 1.066, -0.132])
_DIPOLE_TO_CHEST = np.array(
    [
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
    ]
)


def _limb(one: Floats, two: Floats) -> Floats:
    """Leads I to aVF from I and II, by Einthoven and Goldberger."""
    return np.stack([one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2])


DIPOLE_TO_LEADS = np.vstack([_limb(_LEAD_I, _LEAD_II), _DIPOLE_TO_CHEST])
_RA, _LA, _LL = np.eye(len(ELECTRODES))[:3]
ELECTRODES_TO_LEADS = np.vstack(
    [_limb(_LA - _RA, _LL - _RA), np.eye(len(ELECTRODES))[3:] - (_RA + _LA + _LL) / 3]
)


@dataclass(frozen=True)
class Strip:
    """One simulated recording and its truth.

    Attributes
    ----------
    kind : Kind
        What the heart did.
    fs_hz : float
        Sampling rate in Hz.
    leads : tuple of str
        Names out of ``LEADS``, one for each row.
    signal, waves_mv : ndarray of shape (n_leads, n_samples), dtype float64
        The recording, and its P, QRS and T waves alone, in mV.
    wave_kind : ndarray of shape (n_waves,), dtype uint8
        ``P``, ``QRS`` or ``T``, in time order.
    on, peak, off : ndarray of shape (n_leads, n_waves), dtype int64
        Samples; the peak is where the wave is furthest from zero in that lead.
    beat : tuple of str
        WFDB code of each wave: p, t, or for a QRS complex N (conducted), V (ectopic), / (paced).
    spikes_s : ndarray of shape (n_spikes,), dtype float64
        Times of the middles of the pacemaker pulses in s from the first sample, on no grid.
    axis_deg : float
        Direction of the main QRS lobe in the frontal plane; 0 is left, 90 is down.
    """

    kind: Kind
    fs_hz: float
    leads: tuple[str, ...]
    signal: Floats
    waves_mv: Floats
    wave_kind: npt.NDArray[np.uint8]
    on: Ints
    peak: Ints
    off: Ints
    beat: tuple[str, ...]
    spikes_s: Floats
    axis_deg: float


@dataclass(frozen=True)
class _Wave:
    """One wave of the heart, in s from the start of the strip."""

    kind: int
    beat: str
    on_s: float
    off_s: float
    ectopic: bool = False


def choose_kinds(records: int, rng: np.random.Generator) -> list[Kind]:
    """Choose what each record shows: first every kind once, then by share."""
    drawn = rng.choice(len(KINDS), size=records, p=[kind.share for kind in KINDS])
    return [KINDS[i if i < len(KINDS) else drawn[i]] for i in range(records)]


def simulate_strip(
    kind: Kind,
    *,
    leads: tuple[str, ...],
    fs_hz: float,
    n_samples: int,
    scatter: bool,
    rng: np.random.Generator,
) -> Strip:
    """Simulate one recording.

    Parameters
    ----------
    kind : Kind
        What the heart does.
    leads : tuple of str
        Names out of ``LEADS``.
    fs_hz : float
        Sampling rate in Hz, 200 or more.
    n_samples : int
        Length of the recording.
    scatter : bool
        Whether waves begin and end up to ``SCATTER_LIMIT_S`` apart in the chest leads, in the
        signal as in the marks. The limb leads agree always, as they are sums of each other.
    rng : numpy.random.Generator
        Source of chance.

    Returns
    -------
    Strip
        Only waves that lie in the recording as a whole are drawn and listed.
    """
    seconds = n_samples / fs_hz
    edge = 2 * SCATTER_LIMIT_S
    waves = [
        wave
        for wave in _heart(kind, seconds, rng)
        if wave.on_s > edge and wave.off_s < seconds - edge
    ]
    rows = [LEADS.index(lead) for lead in leads]
    chest = np.array([lead not in LIMB_LEADS for lead in leads])

    ends = np.rint(np.array([[wave.on_s, wave.off_s] for wave in waves]).T * fs_hz)
    ends = np.repeat(ends[:, None], len(leads), axis=1)  # (2, n_leads, n_waves)
    if scatter:
        shift_s = np.clip(
            rng.normal(0.0, SCATTER_SD_S, ends.shape), -SCATTER_LIMIT_S, SCATTER_LIMIT_S
        )
        ends += np.trunc(shift_s * fs_hz) * chest[:, None]
    on, off = ends.astype(np.int64)

    turn = _rotation(rng, np.deg2rad([8.0, 8.0, 16.0]))
    shapes = _shapes(kind, turn, rng)
    torso = DIPOLE_TO_LEADS * np.where(np.arange(12) < 6, 1.0, rng.uniform(0.75, 1.15, 12))[:, None]
    torso = torso[rows]
    waves_mv = np.zeros((len(leads), n_samples))
    peak = np.empty_like(on)
    groups = [np.flatnonzero(~chest), *(np.array([row]) for row in np.flatnonzero(chest))]
    groups = [group for group in groups if group.size]
    beat_gain = rng.normal(1.0, 0.03, len(waves))
    courses: dict[tuple[int, bool, int], Floats] = {}  # of the dipole, (3, length)
    for w, wave in enumerate(waves):
        shape = shapes[wave.kind, wave.ectopic]
        for group in groups:
            start, stop = on[group[0], w], off[group[0], w]
            length = int(stop - start) + 1
            key = (wave.kind, wave.ectopic, length)
            if key not in courses:
                courses[key] = shape[:, 2:].T @ _lobes(shape, length, wave.kind)
            drawn = beat_gain[w] * torso[group] @ courses[key]
            waves_mv[group, start : stop + 1] += drawn
            # An annotated peak lies between the ends, not on them.
            peak[group, w] = start + 1 + np.abs(drawn[:, 1:-1]).argmax(axis=1)

    paced_s = np.array([wave.on_s for wave in waves if wave.beat == "/"])
    spikes_s = paced_s - PULSE_BEFORE_QRS_S
    signal = waves_mv + torso @ _atria(kind, n_samples, fs_hz, rng)
    charge = rng.uniform(*PULSE_MV_MS)
    if spikes_s.size:
        width_s = rng.uniform(*PULSE_WIDTH_S)
        height_mv = charge / (1000 * width_s)
        course = _pulses(spikes_s, width_s, n_samples=n_samples, fs_hz=fs_hz)
        signal += torso @ (height_mv * turn @ np.array([[-0.4], [0.8], [-0.5]])) * course
    signal += ELECTRODES_TO_LEADS[rows] @ _noise(n_samples, fs_hz, rng)
    main = shapes[QRS, False][:, 2:].sum(axis=0)
    return Strip(
        kind=kind,
        fs_hz=fs_hz,
        leads=leads,
        signal=signal,
        waves_mv=waves_mv,
        wave_kind=np.array([wave.kind for wave in waves], np.uint8),
        on=on,
        peak=peak,
        off=off,
        beat=tuple(wave.beat for wave in waves),
        spikes_s=spikes_s,
        axis_deg=float(np.rad2deg(np.arctan2(main[1], main[0]))),
    )


def _heart(kind: Kind, seconds: float, rng: np.random.Generator) -> list[_Wave]:
    """Lay out the waves of a strip, some before and behind it too."""
    pr_s = rng.uniform(*kind.pr_s)
    p_s = min(rng.uniform(0.085, 0.11), pr_s - 0.035)
    qrs_s = rng.uniform(*QRS_DURATION_S[kind.qrs])
    t_s = rng.uniform(0.16, 0.20)
    # Fridericia: QT grows with the cube root of the interval; wide QRS add their excess.
    qt_s = rng.uniform(0.37, 0.41) + (qrs_s - 0.09)
    waves: list[_Wave] = []
    before_s = 1.0
    last_qrs_s = -np.inf
    for p_on_s, on_s, ectopic in _beats(kind, pr_s, seconds, rng):
        if p_on_s is not None:
            waves.append(_Wave(P, "p", p_on_s, p_on_s + p_s))
        if on_s is None:
            continue
        beat = "V" if ectopic else "/" if kind.qrs == "paced" else "N"
        width_s = rng.uniform(*QRS_DURATION_S["ectopic"]) if ectopic else qrs_s
        waves.append(_Wave(QRS, beat, on_s, on_s + width_s, ectopic))
        if np.isfinite(last_qrs_s):
            before_s = min(max(on_s - last_qrs_s, 0.4), 1.3)
        last_qrs_s = on_s
        off_s = on_s + qt_s * before_s ** (1 / 3) + (width_s - qrs_s)
        waves.append(_Wave(T, "t", off_s - t_s, off_s, ectopic))
    return _apart(waves)


def _apart(waves: list[_Wave]) -> list[_Wave]:
    """End each T before the next wave and begin it behind its QRS."""
    apart = []
    for i, wave in enumerate(waves[:-1]):
        if wave.kind == T:
            limit_s = waves[i + 1].on_s - GAP_S - (0.005 if waves[i + 1].kind == P else 0.02)
            off_s = min(wave.off_s, limit_s)
            on_s = max(off_s - (wave.off_s - wave.on_s), waves[i - 1].off_s + GAP_S)
            wave = replace(wave, on_s=on_s, off_s=off_s)
        apart.append(wave)
    return apart


def _beats(
    kind: Kind, pr_s: float, seconds: float, rng: np.random.Generator
) -> list[tuple[float | None, float | None, bool]]:
    """Time of P, time of QRS (None: there is none), and whether the beat is ectopic."""
    drive = _drive(kind, seconds, rng)
    if kind.atria != "sinus":
        return [(None, time_s, False) for time_s in drive]
    group = int(rng.integers(3, 6))
    beats: list[tuple[float | None, float | None, bool]] = []
    for i, time_s in enumerate(drive):
        follows_plain = bool(beats) and not beats[-1][2]
        if follows_plain and rng.random() < kind.ectopy:
            early_s = rng.uniform(0.60, 0.66) * (time_s - drive[i - 1])
            beats.append((None, drive[i - 1] + pr_s + early_s, True))
            continue
        delay_s = pr_s + rng.normal(0.0, 0.002)
        if kind.block == "wenckebach":
            delay_s += 0.12 * (1 - 0.5 ** (i % group))
        dropped = bool(kind.block) and i % group == group - 1
        beats.append((time_s, None if dropped else time_s + delay_s, False))
    return beats


def _drive(kind: Kind, seconds: float, rng: np.random.Generator) -> list[float]:
    """Beat times of the pacemaker of the heart, from 2 s before to 2 s behind the strip."""
    mean_s = rng.uniform(*kind.rr_s)
    cycle_s = rng.uniform(0.20, 0.24)  # of a flutter, 250 to 300 per minute
    ratios = [(2,), (3,), (4,), (3, 4), (2, 4)][int(rng.integers(5))]
    breath_hz, phase = rng.uniform(0.15, 0.3), rng.uniform(0, 2 * np.pi)
    times = [-2.0 - rng.uniform(0, mean_s)]
    while times[-1] < seconds + 2:
        if kind.atria == "flutter":
            step_s = cycle_s * float(rng.choice(ratios))
        else:
            breath = kind.breathing * np.sin(2 * np.pi * breath_hz * times[-1] + phase)
            step_s = mean_s * (1 + breath + kind.spread * rng.normal())
            step_s = min(max(step_s, RR_LIMITS_S[0] + 0.07, 0.6 * mean_s), 1.6 * mean_s)
        times.append(times[-1] + step_s)
    return times


def _shapes(kind: Kind, turn: Floats, rng: np.random.Generator) -> dict[tuple[int, bool], Floats]:
    """Lobes of each kind of wave, ectopic or not, as they are in one person."""

    def personal(shape: _Shape, gain: float, own_turn_deg: float) -> Floats:
        lobes = np.array(shape)
        axes = turn @ _rotation(rng, np.deg2rad([own_turn_deg] * 3))
        lobes[:, 2:] = gain * lobes[:, 2:] * rng.uniform(0.8, 1.2, (len(lobes), 1)) @ axes.T
        return lobes

    # T points the way of a narrow QRS, away from a wide one; upside down in some people.
    wide = kind.qrs != "narrow"
    t_shape = BIPHASIC_T_SHAPE if rng.random() < 0.12 else T_SHAPE
    t_gain = rng.uniform(0.7, 1.5) * (-1 if rng.random() < 0.1 else 1)
    qrs_gain = rng.uniform(0.6, 1.2)
    discordant: _Shape = ((0.0, 1.0, -0.28, 0.02, -0.24),)
    if kind.qrs == "paced":
        discordant = ((0.0, 1.0, -0.14, 0.18, -0.22),)
    ectopic_t: _Shape = ((0.0, 1.0, -0.05, -0.37, -0.21),)
    return {
        (P, False): personal(P_SHAPE, rng.uniform(0.5, 1.0), 8.0),
        (QRS, False): personal(QRS_SHAPES[kind.qrs], qrs_gain, 4.0),
        (T, False): personal(discordant, qrs_gain, 8.0)
        if wide
        else personal(t_shape, t_gain, 10.0),
        (QRS, True): personal(QRS_SHAPES["ectopic"], 1.3 * qrs_gain, 10.0),
        (T, True): personal(ectopic_t, 1.3 * qrs_gain, 10.0),
    }


def _rotation(rng: np.random.Generator, sd_rad: Floats) -> Floats:
    """Turn about x, y and z by random angles."""
    turn = np.eye(3)
    for axis, angle in enumerate(rng.normal(0.0, sd_rad)):
        i, j = [k for k in range(3) if k != axis]
        step = np.eye(3)
        step[[i, j], [i, j]] = np.cos(angle)
        step[i, j], step[j, i] = -np.sin(angle), np.sin(angle)
        turn = turn @ step
    return turn


def _lobes(shape: Floats, n: int, kind: int) -> Floats:
    """Time courses of the lobes of a wave of ``n`` samples, shape (n_lobes, n)."""
    part = np.arange(1, n + 1) / (n + 1)
    within = (part - shape[:, :1]) / (shape[:, 1:2] - shape[:, :1])
    phase = np.clip(within, 0.0, 1.0) ** _SKEW[kind]
    course: Floats = np.maximum(np.sin(np.pi * phase), 0.0) ** _POWER[kind]
    return course


def _pulses(at_s: Floats, width_s: float, *, n_samples: int, fs_hz: float) -> Floats:
    """Course of rectangular pulses of height 1 behind an anti-aliasing filter, (n_samples,)."""
    halvings = max(0, int(np.ceil(np.log2(PULSE_FS_HZ / fs_hz))))
    fine_hz = fs_hz * 2**halvings
    # Each fine sample is the mean over its own time, so that pulses need not end on samples.
    ends_s = np.sort(np.concatenate([at_s - width_s / 2, at_s + width_s / 2]))
    on_s = width_s * (np.arange(ends_s.size) // 2 + np.arange(ends_s.size) % 2)
    bounds_s = (np.arange(n_samples * 2**halvings + 1) - 0.5) / fine_hz
    course: Floats = np.diff(np.interp(bounds_s, ends_s, on_s)) * fine_hz
    for _ in range(halvings):
        course = decimate(course, 2, zero_phase=True)
    return course


def _atria(kind: Kind, n_samples: int, fs_hz: float, rng: np.random.Generator) -> Floats:
    """Dipole of atria that flutter or fibrillate all the time, shape (3, n_samples), in mV."""
    time_s = np.arange(n_samples) / fs_hz
    if kind.atria == "fibrillation":
        dipole = np.zeros((3, n_samples))
        for _ in range(3):
            slow = np.sin(2 * np.pi * rng.uniform(0.1, 0.4) * time_s + rng.uniform(0, 2 * np.pi))
            phase = 2 * np.pi * np.cumsum(rng.uniform(4.5, 8.0) * (1 + 0.12 * slow)) / fs_hz
            waxing = 1 + 0.5 * np.roll(slow, n_samples // 3)
            gains = rng.normal(0.0, [0.015, 0.02, 0.03])
            dipole += gains[:, None] * waxing * np.sin(phase + rng.uniform(0, 2 * np.pi))
        return dipole
    if kind.atria == "flutter":
        # Slow fall, fast rise: saw teeth in II, III and aVF.
        turns = (rng.uniform(4.2, 5.0) * time_s + rng.random()) % 1
        teeth = np.interp(turns, [0.0, 0.7, 1.0], [1.0, -1.0, 1.0])
        gains = rng.uniform(0.8, 1.3) * np.array([0.01, 0.09, 0.05])
        return gains[:, None] * teeth
    return np.zeros((3, n_samples))


def _noise(n_samples: int, fs_hz: float, rng: np.random.Generator) -> Floats:
    """Baseline wander, 50 Hz hum and muscle noise of the electrodes, in mV.

    Levels are those measured in LUDB, 5 % to 95 % of the leads: 0.004 to 0.15 mV below 0.5 Hz,
    0.0004 to 0.003 mV at 50 Hz, 0.001 to 0.011 mV between 80 and 150 Hz.
    """
    time_s = np.arange(n_samples) / fs_hz
    n = len(ELECTRODES)
    wander_mv, hum_mv, muscle_mv = np.exp(
        rng.uniform(np.log([0.004, 0.0003, 0.003]), np.log([0.06, 0.003, 0.018]))
    )
    # Phases differ between electrodes: each takes its own parts of sine and cosine.
    hertz = np.append(rng.uniform([0.05, 0.15, 0.2, 0.4], [0.15, 0.3, 0.4, 0.7]), 50.0)
    level_mv = np.append(np.full(4, wander_mv / 1.4), hum_mv / 1.4)
    angle = 2 * np.pi * hertz[:, None] * time_s
    noise: Floats = rng.normal(0.0, level_mv, (n, 5)) @ np.sin(angle)
    noise += rng.normal(0.0, level_mv, (n, 5)) @ np.cos(angle)
    knots_s = np.arange(0.0, n_samples / fs_hz + 1.0, 0.5)
    white = rng.normal(0.0, 1.0, (n, n_samples + 1))
    for row in range(n):
        effort = np.interp(time_s, knots_s, rng.lognormal(-0.1, 0.45, len(knots_s)))
        # Sums of neighbours keep the noise below a quarter of the sampling rate.
        noise[row] += muscle_mv / 1.4 * effort * (white[row, 1:] + white[row, :-1]) / 1.4
    return noise
