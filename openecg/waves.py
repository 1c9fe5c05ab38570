"""Annotation marks paired to waves, the part of a lead that is annotated, and frame labels.

Positions are samples counted from 0. A wave is the closed interval from ``on`` to ``off``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

OTHER = 0
P = 1
QRS = 2
T = 3
IGNORE = 255
NOT_MARKED = -1
KINDS = {P: "P", QRS: "QRS", T: "T"}
NOTHING_ANNOTATED = (0, -1)
# Longest plausible duration in ms: the 99th percentile of the marked waves of LUDB
# (state-of-the-art.md, section 7.2).
LONGEST_MS = {P: 156.0, QRS: 172.0, T: 272.0}
BOUNDARIES = ("P_on", "P_off", "QRS_on", "QRS_off", "T_on", "T_off")

# The beat codes of the WFDB Applications Guide, "Annotations": each one marks a QRS complex.
BEAT_SYMBOLS = frozenset("NLRBAaJSVrFejnE/fQ?")
PEAK_KINDS = {"p": P, "t": T, **dict.fromkeys(sorted(BEAT_SYMBOLS), QRS)}
U_WAVE = "u"
SYMBOLS = frozenset({"(", ")", U_WAVE, *PEAK_KINDS})


@dataclass(frozen=True)
class Waves:
    """The waves of one lead in time order, at the sampling rate of that lead.

    Attributes
    ----------
    kind : ndarray of shape (n_waves,), dtype uint8
        ``P``, ``QRS`` or ``T``.
    on, peak, off : ndarray of shape (n_waves,), dtype int64
        First sample, peak sample and last sample; ``NOT_MARKED`` where there is no such mark.

    Raises
    ------
    ValueError
        If the lengths differ, a kind is unknown, or the marks of a wave are not in order.
    """

    kind: npt.NDArray[np.uint8]
    on: npt.NDArray[np.int64]
    peak: npt.NDArray[np.int64]
    off: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        """Refuse waves that cannot be."""
        if not self.kind.shape == self.on.shape == self.peak.shape == self.off.shape:
            raise ValueError(
                f"kind, on, peak and off must be of one length, got {self.kind.size}, "
                f"{self.on.size}, {self.peak.size} and {self.off.size}"
            )
        unknown = self.kind[(self.kind < min(KINDS)) | (self.kind > max(KINDS))]
        if unknown.size:
            raise ValueError(f"wave kind {unknown[0]} is none of {', '.join(map(str, KINDS))}")
        for first, last in ((self.on, self.peak), (self.peak, self.off), (self.on, self.off)):
            wrong = (first != NOT_MARKED) & (last != NOT_MARKED) & (first > last)
            if wrong.any():
                raise ValueError(
                    f"wave marks must be in order on, peak, off, but sample {first[wrong][0]} "
                    f"comes before {last[wrong][0]}"
                )

    @property
    def marks(self) -> npt.NDArray[np.int64]:
        """On, peak and off of each wave, shape (n_waves, 3)."""
        return np.stack([self.on, self.peak, self.off], axis=1)

    @property
    def complete(self) -> npt.NDArray[np.bool_]:
        """Whether both ends of each wave are marked, shape (n_waves,); the peak may be missing."""
        both: npt.NDArray[np.bool_] = (self.on != NOT_MARKED) & (self.off != NOT_MARKED)
        return both


def pair_marks(samples: npt.NDArray[np.int64], symbols: Sequence[str]) -> Waves:
    """Pair annotation marks to waves by adjacency.

    A wave begins where ``(`` comes directly before its peak, and ends where ``)`` comes directly
    after. Any other bracket belongs to no wave. U waves are read and dropped, so that their
    brackets fall to no neighbour.

    Parameters
    ----------
    samples : ndarray of shape (n_marks,), dtype int64
        Positions of the marks in ascending order; equal positions keep the order of the file.
    symbols : sequence of str
        One of ``SYMBOLS`` for each mark: ``p`` is a P peak, ``t`` a T peak, a beat code a QRS peak.

    Returns
    -------
    Waves
        One wave for each peak, in the order of the peaks.

    Raises
    ------
    ValueError
        If the marks are negative or unsorted, or a symbol is unknown.

    Notes
    -----
    Pairing the k-th onset with the k-th offset slips by one beat after each missing mark. Brackets
    without a peak between them do occur: LUDB holds 21 pairs ``( )``, most with the peak just
    before them. Such a peak is a wave without onset and offset.
    """
    if len(samples) != len(symbols):
        raise ValueError(f"{len(samples)} positions but {len(symbols)} symbols")
    if len(samples) and samples[0] < 0:
        raise ValueError(f"mark 0 lies at sample {samples[0]}; positions count from 0")
    back = np.flatnonzero(np.diff(samples) < 0)
    if back.size:
        at = int(back[0])
        raise ValueError(
            f"marks must be in time order, but mark {at + 1} at sample {samples[at + 1]} "
            f"follows sample {samples[at]}"
        )
    rows = []
    for i, symbol in enumerate(symbols):
        if symbol not in SYMBOLS:
            raise ValueError(
                f"unknown annotation symbol {symbol!r} at sample {samples[i]}; "
                f"allowed are {' '.join(sorted(SYMBOLS))}"
            )
        before = symbols[i - 1] if i else ""
        after = symbols[i + 1] if i + 1 < len(symbols) else ""
        if symbol in PEAK_KINDS:
            on = samples[i - 1] if before == "(" else NOT_MARKED
            off = samples[i + 1] if after == ")" else NOT_MARKED
            rows.append((PEAK_KINDS[symbol], on, samples[i], off))
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    return Waves(table[:, 0].astype(np.uint8), table[:, 1], table[:, 2], table[:, 3])


def annotated_span(waves: Waves) -> tuple[int, int] | None:
    """First and last of all onset and offset marks, as a closed interval of samples.

    Outside of it nobody looked for waves. ``None`` if no onset and no offset is marked.
    """
    ends = np.concatenate([waves.on, waves.off])
    ends = ends[ends != NOT_MARKED]
    return (int(ends.min()), int(ends.max())) if ends.size else None


def ignore_spans(waves: Waves, *, fs_hz: float) -> npt.NDArray[np.int64]:
    """Find where the unmarked parts of incomplete waves may lie.

    A wave without onset may begin anywhere after the mark before it, one without offset may end
    anywhere before the mark after it, but no farther from its other marks than a wave of its kind
    is long (``LONGEST_MS``). At the ends of the lead the span takes the place of the neighbour.

    Parameters
    ----------
    waves : Waves
        Waves of one lead.
    fs_hz : float
        Sampling rate in Hz.

    Returns
    -------
    ndarray of shape (n_incomplete, 3), dtype int64
        Kind, first and last sample, both included, of the region of each incomplete wave.
    """
    incomplete = np.flatnonzero(~waves.complete)
    if not incomplete.size:
        return np.empty((0, 3), dtype=np.int64)
    marks = waves.marks
    first, last = annotated_span(waves) or (0, -1)
    rows = []
    for i in incomplete:
        own = marks[i][marks[i] != NOT_MARKED]
        start, stop = int(own.min()), int(own.max())
        longest = round(LONGEST_MS[int(waves.kind[i])] * fs_hz / 1000)
        earliest, latest = stop - longest, start + longest
        before, after = marks[:i].ravel(), marks[i + 1 :].ravel()
        after = after[after != NOT_MARKED]
        if waves.on[i] == NOT_MARKED:
            start = min(start, max(earliest, int(before.max()) + 1 if before.size else first))
        if waves.off[i] == NOT_MARKED:
            stop = max(stop, min(latest, int(after.min()) - 1 if after.size else last))
        rows.append((int(waves.kind[i]), start, stop))
    return np.array(rows, dtype=np.int64)


def frame_labels(
    waves: Waves,
    *,
    n_samples: int,
    fs_hz: float,
    frame_ms: float,
    n_frames: int,
    span: tuple[int, int] | None,
) -> npt.NDArray[np.uint8]:
    """Label frames with the wave that fills most of them.

    Complete waves are drawn sample by sample, P first, then QRS, then T, the later over the
    earlier. Sample i belongs to frame floor(1000 i / (fs_hz frame_ms)), in exact arithmetic, so
    frames cannot drift. A frame takes the most frequent class of its samples, ties go to the
    smallest class.

    Parameters
    ----------
    waves : Waves
        Waves at ``fs_hz``; parts outside ``n_samples`` are cut off.
    n_samples : int
        Samples of the lead.
    fs_hz, frame_ms : float
        Sampling rate in Hz and length of a frame in ms; a frame must hold one sample or more.
    n_frames : int
        Frames wanted; waves after the last one are dropped.
    span : tuple of int or None
        Closed interval of annotated samples (`annotated_span`). Frames without a wave become
        ``IGNORE`` if they do not touch it, if most of their samples may belong to an incomplete
        wave (`ignore_spans`), or if most lie behind ``n_samples``; all of them if it is
        ``NOTHING_ANNOTATED``. ``None`` takes everything as annotated and nothing becomes
        ``IGNORE``.

    Returns
    -------
    ndarray of shape (n_frames,), dtype uint8
        ``OTHER``, ``P``, ``QRS``, ``T`` or ``IGNORE``.

    Raises
    ------
    ValueError
        If a frame is shorter than a sample.

    Notes
    -----
    Only frames of class ``OTHER`` ever become ``IGNORE``. So the labels of the original protocol,
    which knows no unannotated frames, are ``np.where(labels == IGNORE, OTHER, labels)``.
    """
    per_frame = _rational(fs_hz) * _rational(frame_ms) / 1000
    if per_frame < 1:
        raise ValueError(f"frames of {frame_ms} ms are shorter than a sample at {fs_hz} Hz")
    # Frame f starts at the first sample i with i >= f * per_frame.
    numbers = np.arange(n_frames + 1, dtype=np.int64)
    starts = -(-numbers * per_frame.numerator // per_frame.denominator)
    n_grid = int(starts[-1])
    frame_of = np.repeat(numbers[:-1], np.diff(starts))

    drawn = np.zeros(n_grid, dtype=np.int64)
    for kind in (P, QRS, T):
        for i in np.flatnonzero(waves.complete & (waves.kind == kind)):
            drawn[max(int(waves.on[i]), 0) : int(waves.off[i]) + 1] = kind
    known = np.arange(n_grid) < n_samples
    counts = np.zeros((n_frames, len(KINDS) + 1), dtype=np.int64)
    np.add.at(counts, (frame_of[known], drawn[known]), 1)
    labels: npt.NDArray[np.uint8] = counts.argmax(axis=1).astype(np.uint8)
    if span is None:
        return labels

    for _, first, last in ignore_spans(waves, fs_hz=fs_hz):
        known[max(int(first), 0) : int(last) + 1] = False
    unknown = 2 * np.bincount(frame_of[~known], minlength=n_frames) > np.diff(starts)
    outside = (starts[1:] - 1 < span[0]) | (starts[:-1] > span[1])
    if span == NOTHING_ANNOTATED:
        outside[:] = True
    labels[(labels == OTHER) & (outside | unknown)] = IGNORE
    return labels


def waves_from_ms(
    kind: npt.NDArray[np.uint8],
    on_ms: npt.NDArray[np.float64],
    peak_ms: npt.NDArray[np.float64],
    off_ms: npt.NDArray[np.float64],
    *,
    fs_hz: float,
) -> Waves:
    """Bring the waves of a shard row back to samples at their native rate.

    Parameters
    ----------
    kind : ndarray of shape (n_waves,), dtype uint8
        ``P``, ``QRS`` or ``T``.
    on_ms, peak_ms, off_ms : ndarray of shape (n_waves,), dtype float64
        Times in ms, NaN where not marked.
    fs_hz : float
        Native sampling rate in Hz.

    Returns
    -------
    Waves
        The waves the times were made from, sample for sample.
    """
    ms = np.stack([on_ms, peak_ms, off_ms])
    missing = np.isnan(ms)
    samples = np.where(missing, NOT_MARKED, np.rint(np.where(missing, 0, ms) * fs_hz / 1000))
    return Waves(kind, *samples.astype(np.int64))


def labels_from_ms(
    kind: npt.NDArray[np.uint8],
    on_ms: npt.NDArray[np.float64],
    peak_ms: npt.NDArray[np.float64],
    off_ms: npt.NDArray[np.float64],
    *,
    native_fs_hz: float,
    native_samples: int,
    frame_ms: float,
    n_frames: int,
    masked: bool,
) -> npt.NDArray[np.uint8]:
    """Label frames of any length from the columns of a shard row.

    Parameters
    ----------
    kind : ndarray of shape (n_waves,), dtype uint8
        Column ``wave_kind``.
    on_ms, peak_ms, off_ms : ndarray of shape (n_waves,), dtype float64
        The columns of these names: ms from the start of the window, NaN where not marked.
    native_fs_hz, native_samples : float and int
        The columns of these names.
    frame_ms : float
        Length of a frame in ms.
    n_frames : int
        Frames wanted.
    masked : bool
        Whether frames that nobody annotated become ``IGNORE``.

    Returns
    -------
    ndarray of shape (n_frames,), dtype uint8
        As `frame_labels`; at the frame length of the shard and masked, its column ``labels``.
    """
    waves = waves_from_ms(kind, on_ms, peak_ms, off_ms, fs_hz=native_fs_hz)
    return frame_labels(
        waves,
        n_samples=native_samples,
        fs_hz=native_fs_hz,
        frame_ms=frame_ms,
        n_frames=n_frames,
        span=(annotated_span(waves) or NOTHING_ANNOTATED) if masked else None,
    )


def _rational(value: float) -> Fraction:
    """Read a setting such as 0.1 as the decimal it was written as."""
    return Fraction(str(value))
