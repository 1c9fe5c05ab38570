"""Agreement of predicted with annotated waves: frames, boundaries, errors, intervals.

Many strips (one lead of one record in one window) are scored at once: positions of all strips lie
in one flat array, with the number of its strip beside each position. Positions are milliseconds
from the start of the strip.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openecg.waves import BOUNDARIES, IGNORE, KINDS

# 150 ms: ANSI/AAMI EC57, the tolerance of the LUDB literature. The tighter set is the convention
# of the openecg tables, named there after Martinez 2004 (functional-spec.md, section 3.3).
TOLERANCES: dict[str, dict[str, float]] = {
    "martinez": {
        "P_on": 50.0,
        "P_off": 50.0,
        "QRS_on": 40.0,
        "QRS_off": 40.0,
        "T_on": 50.0,
        "T_off": 100.0,
    },
    "150ms": dict.fromkeys(BOUNDARIES, 150.0),
}
FULL_WINDOW = "full_window"
ANNOTATED_SPAN = "annotated_span"
UNEXCUSED = "annotated_span_unexcused"
PROTOCOLS = (FULL_WINDOW, ANNOTATED_SPAN)
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
        """Times in ms, and strips, of the marks of one of ``BOUNDARIES``."""
        wave, side = name.split("_")
        times = self.on_ms if side == "on" else self.off_ms
        chosen = (self.kind == _code(wave)) & ~np.isnan(times)
        return times[chosen], self.strip[chosen]


@dataclass(frozen=True)
class BoundaryCounts:
    """What became of one boundary in each strip.

    Attributes
    ----------
    counts : ndarray of shape (n_strips, 3), dtype int64
        Hits, false positives, misses.
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
    low = min(truth_ms.min(), pred_ms.min())
    stride = max(truth_ms.max(), pred_ms.max()) - low + 2.0 * tolerance_ms + 1.0
    truth = truth_ms - low + stride * truth_strip
    pred = pred_ms - low + stride * pred_strip
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

    An unmarked onset lies after the mark before it and not after the peak (the offset, where the
    peak is not marked either); an unmarked offset is the mirror image. Without a neighbouring mark
    the region goes on to the end of the strip.

    Returns
    -------
    strip, first_ms, last_ms : ndarray of shape (n_regions,)
        Closed intervals in ms.
    """
    wave, side = boundary.split("_")
    own, other = (waves.on_ms, waves.off_ms) if side == "on" else (waves.off_ms, waves.on_ms)
    missing = (waves.kind == _code(wave)) & np.isnan(own)
    anchor = np.where(np.isnan(waves.peak_ms), other, waves.peak_ms)[missing]
    strip = waves.strip[missing]
    marks = np.concatenate([waves.on_ms, waves.peak_ms, waves.off_ms])
    marked = ~np.isnan(marks)
    mark_strip = np.tile(waves.strip, 3)[marked]
    marks = marks[marked]
    bound = np.full(anchor.shape, -np.inf if side == "on" else np.inf)
    for i in range(anchor.size):
        in_strip = marks[mark_strip == strip[i]]
        if side == "on":
            bound[i] = np.max(in_strip[in_strip < anchor[i]], initial=-np.inf)
        else:
            bound[i] = np.min(in_strip[in_strip > anchor[i]], initial=np.inf)
    return (strip, bound, anchor) if side == "on" else (strip, anchor, bound)
