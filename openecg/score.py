"""Agreement of predicted with annotated waves: frames, boundaries, errors.

Many strips (one lead of one record in one window) are scored at once: positions of all strips lie
in one flat array, with the number of its strip beside each position. Positions are milliseconds
from the start of the strip.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openecg.waves import IGNORE, KINDS, LONGEST_MS, P

SEARCH_MS = 400.0  # of the classical protocol of QTDB: state-of-the-art.md, section 2.1
FULL_WINDOW = "full_window"
ANNOTATED_SPAN = "annotated_span"
UNEXCUSED = "annotated_span_unexcused"
EDGE_FILTERED = "edge_filtered"
FRAME_PROTOCOLS = (FULL_WINDOW, ANNOTATED_SPAN)
PROTOCOLS = (*FRAME_PROTOCOLS, UNEXCUSED, EDGE_FILTERED)
EDGE_MS = 100.0  # beyond the span, of edge_filtered: functional-spec.md, section 7
FRAME_CLASSES = len(KINDS) + 1
ROUNDING_MS = 1e-6  # a distance of exactly the tolerance stays a hit after adding in float64

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class StripWaves:
    """Waves of many strips, in any order.

    Attributes
    ----------
    strip : ndarray of shape (n_waves,), dtype int64
        Number of the strip, counted from 0.
    kind : ndarray of shape (n_waves,), dtype uint8
        As in ``openecg.waves``.
    on_ms, peak_ms, off_ms : ndarray of shape (n_waves,), dtype float64
        Times in ms from the start of the strip; NaN where there is no such mark.
    """

    strip: Ints
    kind: npt.NDArray[np.uint8]
    on_ms: Floats
    peak_ms: Floats
    off_ms: Floats

    def boundary(self, name: str) -> tuple[Floats, Ints]:
        """Give the times in ms, and the strips, of the marks of one of ``BOUNDARIES``."""
        wave, side = name.split("_")
        times = self.on_ms if side == "on" else self.off_ms
        chosen = (self.kind == _code(wave)) & ~np.isnan(times)
        return times[chosen], self.strip[chosen]


@dataclass(frozen=True)
class BoundaryCounts:
    """What became of one boundary in each strip.

    Attributes
    ----------
    counts : ndarray of shape (n_protocols, n_strips, 3), dtype int64
        For each of ``PROTOCOLS``: hits, false positives, misses.
    error_ms : ndarray of shape (n_hits,), dtype float64
        Predicted minus true time of each hit.
    error_strip : ndarray of shape (n_hits,), dtype int64
        Strip of each hit.
    """

    counts: Ints
    error_ms: Floats
    error_strip: Ints


def _code(wave: str) -> int:
    return next(code for code, name in KINDS.items() if name == wave)


def _line_up(*groups: tuple[Floats, Ints], gap_ms: float) -> list[Floats]:
    """Put the strips one after the other, more than ``gap_ms`` between any two of them."""
    times = np.concatenate([times for times, _ in groups])
    stride = np.ptp(times) + gap_ms + 1.0 if times.size else 0.0
    low = times.min(initial=0.0)
    return [times - low + stride * strip for times, strip in groups]


def _nearest(positions: Floats, others: Floats) -> Ints:
    """Index of the nearest of ``others`` (ascending, not empty), of two the earlier."""
    after = np.searchsorted(others, positions)
    before = np.maximum(after - 1, 0)
    after = np.minimum(after, others.size - 1)
    is_before = np.abs(positions - others[before]) <= np.abs(positions - others[after])
    nearest: Ints = np.where(is_before, before, after).astype(np.int64)
    return nearest


def match(
    truth_ms: Floats,
    truth_strip: Ints,
    pred_ms: Floats,
    pred_strip: Ints,
    *,
    tolerance_ms: float,
) -> Ints:
    """Pair predicted with true positions, one to one and within their strip.

    Pairs within the tolerance are taken in order of their distance; of two at the same distance
    the earlier is taken. Where the truths of a strip lie more than two tolerances apart, no other
    pairing has more pairs.

    Parameters
    ----------
    truth_ms, pred_ms : ndarray of shape (n_truth,) and (n_pred,), dtype float64
        Positions in ms, finite, in any order.
    truth_strip, pred_strip : ndarray of the same shapes, dtype int64
        Strip of each position.
    tolerance_ms : float
        Largest distance of a pair, inclusive.

    Returns
    -------
    ndarray of shape (n_pairs, 2), dtype int64
        Index of the truth and of the prediction, in order of the truth's index.

    Notes
    -----
    Each round pairs all that are each other's nearest and still unpaired. The closest pair of all
    is always among them, so the rounds end with the pairs that going through a list of all
    distances would give.
    """
    if not truth_ms.size or not pred_ms.size:
        return np.empty((0, 2), dtype=np.int64)
    truth, pred = _line_up(
        (truth_ms, truth_strip), (pred_ms, pred_strip), gap_ms=2.0 * tolerance_ms
    )
    free_truth = np.argsort(truth, kind="stable")
    free_pred = np.argsort(pred, kind="stable")
    pairs = []
    while free_truth.size and free_pred.size:
        near_pred = _nearest(truth[free_truth], pred[free_pred])
        near_truth = _nearest(pred[free_pred], truth[free_truth])
        distance = np.abs(truth[free_truth] - pred[free_pred][near_pred])
        mutual = near_truth[near_pred] == np.arange(free_truth.size)
        hit = mutual & (distance <= tolerance_ms + ROUNDING_MS)
        if not hit.any():
            break
        pairs.append(np.stack([free_truth[hit], free_pred[near_pred[hit]]], axis=1))
        free_truth = free_truth[~hit]
        free_pred = np.delete(free_pred, near_pred[hit])
    found = np.concatenate(pairs) if pairs else np.empty((0, 2), dtype=np.int64)
    ordered: Ints = found[np.argsort(found[:, 0])]
    return ordered


def _missing_regions(waves: StripWaves, boundary: str) -> tuple[Ints, Floats, Floats]:
    """Where the unmarked boundaries of incomplete waves may lie.

    An unmarked onset lies between the mark before it and its peak (its offset, where the peak is
    not marked either), and no farther from the wave's other marks than such a wave is long
    (``LONGEST_MS``); an unmarked offset is the mirror image. The regions of one boundary overlap at
    most in a point.

    Returns
    -------
    strip, first_ms, last_ms : ndarray of shape (n_regions,)
        Closed intervals in ms.
    """
    wave, side = boundary.split("_")
    own, other = (waves.on_ms, waves.off_ms) if side == "on" else (waves.off_ms, waves.on_ms)
    missing = (waves.kind == _code(wave)) & np.isnan(own)
    anchor_ms = np.where(np.isnan(waves.peak_ms), other, waves.peak_ms)[missing]
    strip = waves.strip[missing]
    mark_ms = np.concatenate([waves.on_ms, waves.peak_ms, waves.off_ms])
    marked = ~np.isnan(mark_ms)
    mark_ms, mark_strip = mark_ms[marked], np.tile(waves.strip, 3)[marked]
    marks, anchors = _line_up((mark_ms, mark_strip), (anchor_ms, strip), gap_ms=0.0)
    order = np.argsort(marks)
    if side == "on":
        at = np.searchsorted(marks[order], anchors, side="left") - 1
    else:
        at = np.searchsorted(marks[order], anchors, side="right")
    neighbour = order[np.clip(at, 0, order.size - 1)] if order.size else order
    inside = (at >= 0) & (at < order.size) & (mark_strip[neighbour] == strip)
    far_ms = np.fmax(other, waves.peak_ms) if side == "on" else np.fmin(other, waves.peak_ms)
    reach_ms = far_ms[missing] + LONGEST_MS[_code(wave)] * (-1 if side == "on" else 1)
    if side == "on":
        end_ms = np.where(inside, np.maximum(mark_ms[neighbour], reach_ms), reach_ms)
        return strip, end_ms, anchor_ms
    end_ms = np.where(inside, np.minimum(mark_ms[neighbour], reach_ms), reach_ms)
    return strip, anchor_ms, end_ms


def _excused(
    pred_ms: Floats, pred_strip: Ints, regions: tuple[Ints, Floats, Floats]
) -> npt.NDArray[np.bool_]:
    """Mark the predictions that stand for an unmarked boundary, at most one for each region."""
    excused = np.zeros(pred_ms.shape, dtype=bool)
    strip, first_ms, last_ms = regions
    if not pred_ms.size or not strip.size:
        return excused
    pred, first, last = _line_up(
        (pred_ms, pred_strip), (first_ms, strip), (last_ms, strip), gap_ms=0.0
    )
    in_time = np.argsort(pred, kind="stable")
    begin = np.searchsorted(pred[in_time], first - ROUNDING_MS)
    end = np.searchsorted(pred[in_time], last + ROUNDING_MS, side="right")
    chosen, unused = [], 0  # from here on no region before has taken a prediction
    for k in np.flatnonzero(begin < end)[np.argsort(first[begin < end], kind="stable")].tolist():
        at = max(int(begin[k]), unused)
        if at < end[k]:
            chosen.append(at)
            unused = at + 1
    excused[in_time[chosen]] = True
    return excused


def count_boundary(
    boundary: str,
    *,
    truth: StripWaves,
    predicted: StripWaves,
    span_ms: Floats,
    p_unmarked: npt.NDArray[np.bool_],
    tolerance_ms: float,
) -> BoundaryCounts:
    """Count hits, false positives and misses of one boundary in each strip.

    Parameters
    ----------
    boundary : str
        One of ``BOUNDARIES``.
    truth, predicted : StripWaves
        Annotated and predicted waves.
    span_ms : ndarray of shape (n_strips, 2), dtype float64
        First and last moment that is annotated; NaN where nothing is.
    p_unmarked : ndarray of shape (n_strips,), dtype bool
        Whether there are P waves in the strip, but none is marked.
    tolerance_ms : float
        Largest distance of a hit in ms, inclusive.

    Returns
    -------
    BoundaryCounts

    Notes
    -----
    The protocols match the same pairs and differ in what else is a false positive.
    ``full_window``: every prediction without a match. ``annotated_span_unexcused``: those of them
    inside the span. ``annotated_span``: of these not the one that may be the unmarked boundary of
    an incompletely annotated wave, and none of P where P waves are not marked. ``edge_filtered``,
    of openecg from 0.2.0 on: those up to 100 ms outside the span; there hits farther outside are
    none, which matters at wider tolerances only.
    """
    n_strips = span_ms.shape[0]
    true_ms, true_strip = truth.boundary(boundary)
    pred_ms, pred_strip = predicted.boundary(boundary)
    pairs = match(true_ms, true_strip, pred_ms, pred_strip, tolerance_ms=tolerance_ms)
    hit_strip = true_strip[pairs[:, 0]]
    hits = np.bincount(hit_strip, minlength=n_strips)
    misses = np.bincount(true_strip, minlength=n_strips) - hits
    rest_ms, rest_strip = np.delete(pred_ms, pairs[:, 1]), np.delete(pred_strip, pairs[:, 1])
    outside_ms = _outside(rest_ms, span_ms[rest_strip])
    inside_ms, inside_strip = rest_ms[outside_ms <= 0], rest_strip[outside_ms <= 0]
    excused = _excused(inside_ms, inside_strip, _missing_regions(truth, boundary))
    if boundary.startswith(KINDS[P]):
        excused |= p_unmarked[inside_strip]
    false_strips = {
        FULL_WINDOW: rest_strip,
        ANNOTATED_SPAN: inside_strip[~excused],
        UNEXCUSED: inside_strip,
        EDGE_FILTERED: rest_strip[outside_ms <= EDGE_MS],
    }
    false = [np.bincount(false_strips[name], minlength=n_strips) for name in PROTOCOLS]
    counts = np.stack([np.stack([hits, wrong, misses], axis=1) for wrong in false])
    far = _outside(pred_ms[pairs[:, 1]], span_ms[hit_strip]) > EDGE_MS
    lost = np.bincount(hit_strip[far], minlength=n_strips)
    counts[PROTOCOLS.index(EDGE_FILTERED)] += np.stack([-lost, 0 * lost, lost], axis=1)
    return BoundaryCounts(
        counts=counts,
        error_ms=pred_ms[pairs[:, 1]] - true_ms[pairs[:, 0]],
        error_strip=hit_strip,
    )


def _outside(times_ms: Floats, span_ms: Floats) -> Floats:
    """How far times lie outside their spans (n, 2); NaN where nothing is annotated."""
    outside: Floats = np.maximum(span_ms[:, 0] - times_ms, times_ms - span_ms[:, 1])
    return outside


def count_frames(truth: npt.NDArray[np.uint8], predicted: npt.NDArray[np.uint8]) -> Ints:
    """Count frames hit, wrongly called and missed, of each wave in each strip.

    Parameters
    ----------
    truth : ndarray of shape (n_strips, n_frames), dtype uint8
        0 other, 1 P, 2 QRS, 3 T, 255 not annotated.
    predicted : ndarray of the same shape, dtype uint8
        0 to 3.

    Returns
    -------
    ndarray of shape (n_protocols, n_strips, 3, 3), dtype int64
        For each of ``FRAME_PROTOCOLS`` and P, QRS and T: hits, false positives, misses. In
        ``full_window`` frames that are not annotated count as other, in ``annotated_span`` they do
        not count.

    Raises
    ------
    ValueError
        If the shapes are not as said, or a label is none of these.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"truth has shape {truth.shape}, prediction {predicted.shape}")
    if np.any((truth >= FRAME_CLASSES) & (truth != IGNORE)) or np.any(predicted >= FRAME_CLASSES):
        raise ValueError(f"frame labels must be below {FRAME_CLASSES}, or {IGNORE} in the truth")
    n_strips = truth.shape[0]
    true = np.minimum(truth, FRAME_CLASSES).astype(np.int64)  # not annotated: the class behind
    cells = FRAME_CLASSES * (FRAME_CLASSES + 1)
    codes = np.arange(n_strips)[:, None] * cells + true * FRAME_CLASSES + predicted
    met = np.bincount(codes.ravel(), minlength=n_strips * cells)
    met = met.reshape(n_strips, FRAME_CLASSES + 1, FRAME_CLASSES)
    waves = list(KINDS)
    hits = met[:, waves, waves]
    misses = met[:, waves].sum(axis=2) - hits
    per_protocol = []
    for protocol in FRAME_PROTOCOLS:
        counted = met if protocol == FULL_WINDOW else met[:, :FRAME_CLASSES]
        false = counted[:, :, waves].sum(axis=1) - hits
        per_protocol.append(np.stack([hits, false, misses], axis=2))
    counts: Ints = np.stack(per_protocol).astype(np.int64)
    return counts


def absolute_percentiles(error_ms: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Median and 95th percentile of the absolute errors.

    Parameters
    ----------
    error_ms : ndarray of shape (n_hits,), of any float
        Predicted minus true time of the hits. None is larger than the tolerance, so figures at
        two tolerances do not compare.

    Returns
    -------
    median_ms, p95_ms : float
        NaN without hits.
    """
    if not error_ms.size:
        return np.nan, np.nan
    median_ms, p95_ms = np.percentile(np.abs(error_ms.astype(np.float64)), [50, 95])
    return float(median_ms), float(p95_ms)


@dataclass(frozen=True)
class RecordAveraged:
    """Errors of one boundary over records, each record with the same weight.

    Attributes
    ----------
    n_records : int
        Records with enough points to enter the averages.
    n_points, n_hits : int
        Annotated points of all records, and those with a mark within the search.
    sensitivity : float
        ``n_hits / n_points``.
    mean_ms, sd_ms : float
        Average of the means, and of the standard deviations (n - 1), of the records.
    """

    n_records: int
    n_points: int
    n_hits: int
    sensitivity: float
    mean_ms: float
    sd_ms: float


def better_lead_errors(truth_ms: Floats, leads_ms: Sequence[Floats], *, search_ms: float) -> Floats:
    """Error of the nearest mark of any lead, for each annotated point of one record.

    Parameters
    ----------
    truth_ms : ndarray of shape (n_points,), dtype float64
        Annotated points in ms.
    leads_ms : sequence of ndarray, dtype float64
        Marks found in each lead, in ms, in any order. Of two leads as near, the first is taken.
    search_ms : float
        Largest distance of a mark that belongs to the point, inclusive.

    Returns
    -------
    ndarray of shape (n_points,), dtype float64
        Found minus annotated in ms; NaN where no lead has a mark within the search.
    """
    error_ms = np.full(truth_ms.shape, np.nan)
    best_ms = np.full(truth_ms.shape, search_ms + ROUNDING_MS)
    for marks_ms in leads_ms:
        if marks_ms.size:
            ordered = np.sort(marks_ms)
            lead_error = ordered[_nearest(truth_ms, ordered)] - truth_ms
            better = np.abs(lead_error) < best_ms
            error_ms = np.where(better, lead_error, error_ms)
            best_ms = np.where(better, np.abs(lead_error), best_ms)
    return error_ms


def average_records(record_errors_ms: Sequence[Floats], *, min_points: int) -> RecordAveraged:
    """Average the mean and the standard deviation of the errors over records.

    Parameters
    ----------
    record_errors_ms : sequence of ndarray, dtype float64
        Errors of one boundary, one array for each record; NaN where a point was not found.
    min_points : int
        Records with fewer points found do not enter the averages. With 1, a record with a single
        point found has a standard deviation of 0.

    Returns
    -------
    RecordAveraged
        NaN where there is nothing to average.
    """
    found = [errors[~np.isnan(errors)] for errors in record_errors_ms]
    n_points = sum(errors.size for errors in record_errors_ms)
    n_hits = sum(errors.size for errors in found)
    enough = [errors for errors in found if errors.size >= max(min_points, 1)]
    squares = [np.sum((e - e.mean()) ** 2) / max(e.size - 1, 1) for e in enough]
    return RecordAveraged(
        n_records=len(enough),
        n_points=n_points,
        n_hits=n_hits,
        sensitivity=n_hits / n_points if n_points else np.nan,
        mean_ms=float(np.mean([e.mean() for e in enough])) if enough else np.nan,
        sd_ms=float(np.mean(np.sqrt(squares))) if enough else np.nan,
    )
