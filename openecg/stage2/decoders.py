"""Steps between the classes of frames and the boundaries of waves (functional spec, section 6).

Waves are three arrays as `frames_to_waves` gives them: class, and time
in ms of the first and of the last sample, from the start of the window.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from openecg.waves import BOUNDARIES, KINDS, OTHER, QRS, P

Classes = npt.NDArray[np.uint8]
Times = npt.NDArray[np.float64]

# Before a P wave its baseline is measured on this many frames, on no fewer samples than that.
BASELINE_FRAMES = 10
BASELINE_SAMPLES = 5
# The refiner looks this far to both sides of a boundary.
REACH_MS = 80.0
# Quantile of the trace that counts as its floor, smoothing in ms, and share of the way from the
# floor to the maximum at which a wave begins: of QRS, and of P and T.
FLOOR = 0.2
SMOOTH_QRS_MS, SMOOTH_OTHERS_MS = 12.0, 24.0
RISE_QRS, RISE_OTHERS = 0.35, 0.25


def frames_to_waves(
    frames: Classes, *, frame_ms: float, fs_hz: float
) -> tuple[Classes, Times, Times]:
    """Take each run of one class as a wave (functional spec 3.4).

    Parameters
    ----------
    frames : ndarray of shape (n_frames,), dtype uint8
        Class of each frame.
    frame_ms : float
        Length of a frame in ms.
    fs_hz : float
        Sampling rate in Hz of the record that marks are compared with: its last sample of a wave
        lies so far before the end of the wave's last frame.

    Returns
    -------
    kind : ndarray of shape (n_waves,), dtype uint8
        Class of each wave; ``OTHER`` is none.
    on_ms, off_ms : ndarray of shape (n_waves,), dtype float64
        Time of the first and of the last sample from the start of the frames, in time order.

    Notes
    -----
    Nothing is bridged and no short run is dropped: that moved P offsets 17 ms late and cost more
    F1 than it gained (functional spec 9.5).
    """
    starts = np.flatnonzero(np.diff(frames, prepend=frames[:1] + np.uint8(1)))
    ends = np.append(starts[1:], frames.size)[: starts.size]
    wave = frames[starts] != OTHER
    on_ms = starts[wave] * float(frame_ms)
    off_ms = ends[wave] * float(frame_ms) - 1000.0 / fs_hz
    return frames[starts][wave], on_ms, off_ms


def clean_frames(
    frames: Classes, *, frame_ms: float, min_run_ms: float, merge_gap_ms: float
) -> Classes:
    """Smooth frames as openecg 0.1.0 does, with its error; only to reproduce published rows.

    First each run shorter than ``min_run_ms`` takes the class of the run before it, from left to
    right. Then everything between two runs of one wave that lie less than ``merge_gap_ms`` apart
    becomes that wave, for P, then QRS, then T.

    Parameters
    ----------
    frames : ndarray of shape (n_frames,), dtype uint8
        Class of each frame.
    frame_ms : float
        Length of a frame in ms.
    min_run_ms, merge_gap_ms : float
        Limits in ms, rounded down to whole frames. The original has 60 and 200, before its
        version 4 40 and 300.

    Returns
    -------
    ndarray of shape (n_frames,), dtype uint8
        New classes.

    Notes
    -----
    Short runs of ``OTHER`` are absorbed like those of waves. That closes the gap between P and QRS
    and moves P offsets 17 ms late (functional spec 9.5). `drop_short_waves` does not.
    """
    lengths, classes = _runs(frames)
    numbers = np.arange(lengths.size)
    kept = lengths >= min_run_ms // frame_ms
    source = np.maximum.accumulate(np.where(kept, numbers, 0))
    cleaned: Classes = np.repeat(classes[source], lengths)
    for kind in KINDS:
        at = np.flatnonzero(cleaned == kind)
        gaps = np.diff(at) - 1
        for i in np.flatnonzero((gaps > 0) & (gaps < merge_gap_ms // frame_ms)):
            cleaned[at[i] : at[i + 1]] = kind
    return cleaned


def drop_short_waves(frames: Classes, *, frame_ms: float, min_ms: Mapping[int, float]) -> Classes:
    """Turn runs of a wave that are too short for it into ``OTHER``.

    Parameters
    ----------
    frames : ndarray of shape (n_frames,), dtype uint8
        Class of each frame.
    frame_ms : float
        Length of a frame in ms.
    min_ms : mapping
        Shortest run in ms that is kept, by class of wave; classes that are not in it keep all.

    Returns
    -------
    ndarray of shape (n_frames,), dtype uint8
        New classes; ``OTHER`` stays ``OTHER``.

    Raises
    ------
    ValueError
        If ``min_ms`` names a class that is no wave.
    """
    for kind in min_ms:
        if kind not in KINDS:
            raise ValueError(f"class {kind} is no wave; one of {', '.join(map(str, KINDS))}")
    lengths, classes = _runs(frames)
    short = np.zeros(lengths.size, dtype=bool)
    for kind, limit_ms in min_ms.items():
        short |= (classes == kind) & (lengths * frame_ms < limit_ms)
    kept: Classes = np.repeat(np.where(short, np.uint8(OTHER), classes), lengths)
    return kept


def drop_rare_p(strips: Sequence[Classes], *, min_share: float) -> list[Classes]:
    """Drop the P waves of strips that have them on few beats only.

    Where the atria fibrillate or a pacemaker drives the ventricles, a model that looks at single
    beats finds a P wave now and then; where there are P waves, nearly every beat has one.

    Parameters
    ----------
    strips : sequence of ndarray of shape (n_frames,), dtype uint8
        Classes of the frames of one lead, or of several leads of one record at the same time.
    min_share : float
        Fewer P waves than this, for each QRS complex of all strips together, are dropped.

    Returns
    -------
    list of ndarray of shape (n_frames,), dtype uint8
    """
    runs = [_runs(frames)[1] for frames in strips]
    n_p, n_qrs = (sum(int((kinds == code).sum()) for kinds in runs) for code in (P, QRS))
    if n_p >= min_share * n_qrs:
        return list(strips)
    return [np.where(frames == P, OTHER, frames).astype(np.uint8) for frames in strips]


def trim_p(
    frames: Classes,
    signal: npt.NDArray[np.floating],
    *,
    frame_ms: float,
    fs_hz: float,
    factor: float,
) -> Classes:
    """Cut frames without deflection off the end of P waves.

    The baseline is the mean of the samples of class ``OTHER`` in the ten frames before a P wave.
    Frames at its end that stay within ``factor`` standard deviations of the baseline become
    ``OTHER``; one frame is always left. A P wave without five such samples before it stays.

    Parameters
    ----------
    frames : ndarray of shape (n_frames,), dtype uint8
        Class of each frame.
    signal : ndarray of shape (n_samples,), floating
        The window, in any unit.
    frame_ms, fs_hz : float
        Length of a frame in ms and sampling rate in Hz.
    factor : float
        Standard deviations; the original tried 1, 1.5 and 2.

    Returns
    -------
    ndarray of shape (n_frames,), dtype uint8
        New classes.

    Raises
    ------
    ValueError
        If a frame is no whole number of samples, or the signal does not fill the frames.
    """
    per_frame = round(frame_ms * fs_hz / 1000)
    if per_frame != frame_ms * fs_hz / 1000 or signal.size != frames.size * per_frame:
        raise ValueError(
            f"{signal.size} samples at {fs_hz:g} Hz are not {frames.size} frames of {frame_ms:g} ms"
        )
    by_frame = signal.astype(np.float64).reshape(frames.size, per_frame)
    trimmed = frames.copy()
    lengths, classes = _runs(frames)
    ends = np.cumsum(lengths)
    for start, end in zip((ends - lengths)[classes == P], ends[classes == P], strict=True):
        before = slice(max(start - BASELINE_FRAMES, 0), start)
        baseline = by_frame[before][frames[before] == OTHER]
        if baseline.size < BASELINE_SAMPLES:
            continue
        height = np.abs(by_frame[start:end] - baseline.mean()).max(axis=1)
        loud = np.flatnonzero(height >= factor * baseline.std())
        last = loud[-1] if loud.size else 0
        trimmed[start + last + 1 : end] = OTHER
    return trimmed


def shift_boundaries(
    kind: Classes, on_ms: Times, off_ms: Times, *, shifts_ms: Mapping[str, float], last_ms: float
) -> tuple[Times, Times]:
    """Move boundaries by a constant.

    Parameters
    ----------
    kind : ndarray of shape (n_waves,), dtype uint8
        Class of each wave.
    on_ms, off_ms : ndarray of shape (n_waves,), dtype float64
        Time of its first and last sample in ms.
    shifts_ms : mapping
        What to add, in ms, by name of the boundary (`openecg.waves.BOUNDARIES`); the others stay.
    last_ms : float
        Time of the last sample of the window in ms.

    Returns
    -------
    on_ms, off_ms : ndarray of shape (n_waves,), dtype float64
        Moved, but not out of the window, and not past the other end of the wave.

    Raises
    ------
    ValueError
        If there is no boundary of a name.
    """
    for name in shifts_ms:
        if name not in BOUNDARIES:
            raise ValueError(f"no boundary {name!r}; one of {', '.join(BOUNDARIES)}")
    table = np.array([shifts_ms.get(name, 0.0) for name in BOUNDARIES])
    return _moved(
        (on_ms, off_ms),
        (on_ms + table[_channel(kind, "on")], off_ms + table[_channel(kind, "off")]),
        last_ms=last_ms,
    )


def apply_offsets(
    kind: Classes,
    on_ms: Times,
    off_ms: Times,
    offsets: npt.NDArray[np.floating],
    *,
    frame_ms: float,
    fs_hz: float,
    double_counted_offs: bool = False,
) -> tuple[Times, Times]:
    """Put boundaries where a regression head sees them.

    Parameters
    ----------
    kind : ndarray of shape (n_waves,), dtype uint8
        Class of each wave.
    on_ms, off_ms : ndarray of shape (n_waves,), dtype float64
        Time of its first and last sample in ms.
    offsets : ndarray of shape (n_frames, 6), floating
        Samples at ``fs_hz`` from the first sample of each frame to the nearest boundary of each
        name, in the order of `openecg.waves.BOUNDARIES`. A boundary is the first or the last
        sample of its wave.
    frame_ms, fs_hz : float
        Length of a frame in ms and sampling rate in Hz.
    double_counted_offs : bool
        Add the offset of an off to the last sample of its frame, instead of to the first. An error
        of the original, 16 ms at 250 Hz (functional spec 9.6); only to reproduce published rows.

    Returns
    -------
    on_ms, off_ms : ndarray of shape (n_waves,), dtype float64
        New times, inside the window. Where an on would come behind its off, it stays at or before
        the old off, and the off at or behind it.
    """
    frame_of_on = (on_ms // frame_ms).astype(np.int64)
    frame_of_off = (off_ms // frame_ms).astype(np.int64)
    ahead_ms = offsets.astype(np.float64) * (1000.0 / fs_hz)
    origin_ms = frame_of_off * float(frame_ms)
    if double_counted_offs:
        origin_ms += frame_ms - 1000.0 / fs_hz
    return _moved(
        (on_ms, off_ms),
        (
            frame_of_on * float(frame_ms) + ahead_ms[frame_of_on, _channel(kind, "on")],
            origin_ms + ahead_ms[frame_of_off, _channel(kind, "off")],
        ),
        last_ms=len(offsets) * frame_ms - 1000.0 / fs_hz,
    )


def refine_boundaries(
    kind: Classes,
    on_ms: Times,
    off_ms: Times,
    signal: npt.NDArray[np.floating],
    *,
    fs_hz: float,
    kinds: Collection[int] = (QRS,),
) -> tuple[Times, Times]:
    """Move boundaries to where the signal near them begins or ceases to be active.

    Within 80 ms of a boundary, activity is the slope (QRS) or the distance from the median (P, T),
    without sign and smoothed. An on moves to the first sample there whose activity is above a
    threshold, an off to the last: 35 % (QRS) or 25 % of the way from the 20 % quantile of the
    activity to its maximum. Without such a sample it stays.

    Parameters
    ----------
    kind : ndarray of shape (n_waves,), dtype uint8
        Class of each wave.
    on_ms, off_ms : ndarray of shape (n_waves,), dtype float64
        Time of its first and last sample in ms.
    signal : ndarray of shape (n_samples,), floating
        The window, in any unit.
    fs_hz : float
        Sampling rate of ``signal`` in Hz.
    kinds : collection of int
        Classes of the waves to move; the others stay.

    Returns
    -------
    on_ms, off_ms : ndarray of shape (n_waves,), dtype float64
        New times, inside the window, the on never behind the off.

    Notes
    -----
    Its authors found it harmful: LUDB 0.779 -> 0.625 at the tolerances of Martinez (functional
    spec 6).
    """
    new_on_ms, new_off_ms = on_ms.copy(), off_ms.copy()
    for i in np.flatnonzero(np.isin(kind, list(kinds))):
        for times_ms, which in ((new_on_ms, 0), (new_off_ms, -1)):
            near, active = _activity(signal, times_ms[i], is_qrs=kind[i] == QRS, fs_hz=fs_hz)
            floor = np.quantile(active, FLOOR)
            rise = RISE_QRS if kind[i] == QRS else RISE_OTHERS
            above = np.flatnonzero(active > floor + rise * (active.max() - floor))
            if above.size:
                times_ms[i] = (near + above[which]) * 1000.0 / fs_hz
    last_ms = (signal.size - 1) * 1000.0 / fs_hz
    return _moved((on_ms, off_ms), (new_on_ms, new_off_ms), last_ms=last_ms)


def _activity(
    signal: npt.NDArray[np.floating], at_ms: float, *, is_qrs: bool, fs_hz: float
) -> tuple[int, Times]:
    """First sample near a boundary, and the smoothed activity from it on."""
    centre, reach = round(at_ms * fs_hz / 1000), round(REACH_MS * fs_hz / 1000)
    start = max(centre - reach, 0)
    near = signal[start : centre + reach + 1].astype(np.float64)
    raw = np.abs(np.diff(near, prepend=near[:1]) if is_qrs else near - np.median(near))
    width = max(round((SMOOTH_QRS_MS if is_qrs else SMOOTH_OTHERS_MS) * fs_hz / 1000), 1)
    kernel = np.full(width, 1 / width)
    return start, np.convolve(raw, kernel)[(width - 1) // 2 :][: raw.size]


def _runs(frames: Classes) -> tuple[npt.NDArray[np.int64], Classes]:
    """Length and class of each run of equal frames."""
    starts = np.flatnonzero(np.diff(frames, prepend=frames[:1] + np.uint8(1)))
    return np.diff(starts, append=frames.size), frames[starts]


def _channel(kind: Classes, end: str) -> npt.NDArray[np.int64]:
    """Place in ``BOUNDARIES`` of one end of each wave."""
    places = np.zeros(max(KINDS) + 1, dtype=np.int64)
    for number, name in KINDS.items():
        places[number] = BOUNDARIES.index(f"{name}_{end}")
    return places[kind]


def _moved(
    old: tuple[Times, Times], new: tuple[Times, Times], *, last_ms: float
) -> tuple[Times, Times]:
    """Keep new ons and offs inside the window and in order.

    An on goes no farther than the later of its old and new off, an off no farther back than the
    on that results; so a boundary that was not moved never gives way.
    """
    new_on_ms, new_off_ms = (np.clip(times_ms, 0.0, last_ms) for times_ms in new)
    on_ms = np.minimum(new_on_ms, np.maximum(old[1], new_off_ms))
    return on_ms, np.maximum(new_off_ms, on_ms)
