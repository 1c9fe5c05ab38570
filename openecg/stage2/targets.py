"""Marks become training targets of any resolution, on the device, also when time is stretched."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from openecg.waves import (
    BOUNDARIES,
    IGNORE,
    KINDS,
    NOT_MARKED,
    OTHER,
    P,
    Waves,
    ignore_spans,
    waves_from_ms,
)

OTHER_OR_P = 254  # target of a label outside of all marked waves, in a lead whose P nobody marked
REACH = 25  # samples; a boundary farther from a label is no target of it (functional spec 5.3)


@dataclass(frozen=True)
class Marks:
    """Marks of N strips in ms from their start; rows are sorted and filled up with infinity.

    Attributes
    ----------
    on_ms, off_ms : Tensor of shape (N, 3, W), dtype float32
        Complete waves of each kind: start of the first sample, and end of the last one.
    boundary_ms : Tensor of shape (N, 6, M), dtype float32
        Marked boundaries in the order of ``BOUNDARIES``, those of incomplete waves too; an off is
        the start of the last sample.
    unknown_on_ms, unknown_off_ms : Tensor of shape (N, 1, U), dtype float32
        Regions where the missing part of a wave may lie.
    span_ms : Tensor of shape (N, 2), dtype float32
        Start and end of the annotated part; end before start if there is none.
    end_ms : Tensor of shape (N,), dtype float32
        Length of the strip.
    p_unmarked : Tensor of shape (N,), dtype bool
        Whether the strip has P waves, but none is marked.
    sample_ms : Tensor of shape (N,), dtype float32
        Length of a sample at the rate of the marks.
    """

    on_ms: Tensor
    off_ms: Tensor
    boundary_ms: Tensor
    unknown_on_ms: Tensor
    unknown_off_ms: Tensor
    span_ms: Tensor
    end_ms: Tensor
    p_unmarked: Tensor
    sample_ms: Tensor

    def at(self, rows: Tensor | slice) -> "Marks":
        """Take the strips at ``rows``, by a slice as views."""
        return Marks(*(getattr(self, field.name)[rows] for field in fields(self)))

    def to(self, device: torch.device) -> "Marks":
        """Move to a device."""
        return Marks(*(getattr(self, field.name).to(device) for field in fields(self)))


def stack_marks(
    kind: npt.NDArray[np.uint8],
    on_ms: npt.NDArray[np.float64],
    peak_ms: npt.NDArray[np.float64],
    off_ms: npt.NDArray[np.float64],
    *,
    n_waves: npt.NDArray[np.integer],
    native_fs_hz: npt.NDArray[np.float64],
    native_samples: npt.NDArray[np.int64],
    has_p: npt.NDArray[np.bool_],
) -> Marks:
    """Sort out the columns of shard rows, and put them into tensors on the CPU.

    Parameters
    ----------
    kind, on_ms, peak_ms, off_ms : ndarray of shape (sum of n_waves,)
        Columns of the shard, the waves of one row behind those of the other; NaN where not marked.
    n_waves : ndarray of shape (N,), dtype int
        Waves of each row.
    native_fs_hz, native_samples : ndarray of shape (N,)
        Columns of the shard.
    has_p : ndarray of shape (N,), dtype bool
        Whether the rhythm is one with P waves.

    Raises
    ------
    ValueError
        As `openecg.waves.Waves`.
    """
    n_strips, n_kinds = n_waves.size, len(KINDS)
    strip = np.repeat(np.arange(n_strips), n_waves)
    sample_ms = 1000.0 / native_fs_hz
    rates: Any = native_fs_hz[strip]  # of each wave its own
    waves = waves_from_ms(kind, on_ms, peak_ms, off_ms, fs_hz=rates)
    whole = waves.complete
    group = strip * n_kinds + np.searchsorted(list(KINDS), kind)
    times = np.stack([on_ms, off_ms], axis=1)
    marked = ~np.isnan(times)
    boundary = (2 * group[:, None] + np.arange(2))[marked]  # the order of BOUNDARIES
    ascending = np.lexsort((times[marked], boundary))
    unknown, unknown_on, unknown_off = _unknown_regions(waves, n_waves, native_fs_hz)
    first, last = _annotated_spans(waves, strip, n_strips)
    n_p = np.bincount(strip[kind == P], minlength=n_strips)

    def padded(values: npt.NDArray[np.float64], row: npt.NDArray[np.int64], n_rows: int) -> Tensor:
        table = _padded(values, row, n_rows=n_strips * n_rows)
        return torch.from_numpy(table.reshape(n_strips, n_rows, -1))

    return Marks(
        on_ms=padded(on_ms[whole], group[whole], n_kinds),
        off_ms=padded((off_ms + sample_ms[strip])[whole], group[whole], n_kinds),
        boundary_ms=padded(times[marked][ascending], boundary[ascending], len(BOUNDARIES)),
        unknown_on_ms=padded(unknown_on * sample_ms[unknown], unknown, 1),
        unknown_off_ms=padded(unknown_off * sample_ms[unknown], unknown, 1),
        span_ms=torch.from_numpy(
            np.stack([first * sample_ms, (last + 1) * sample_ms], axis=1).astype(np.float32)
        ),
        end_ms=torch.from_numpy((native_samples * sample_ms).astype(np.float32)),
        p_unmarked=torch.from_numpy(has_p & (n_p == 0)),
        sample_ms=torch.from_numpy(sample_ms.astype(np.float32)),
    )


def label_targets(marks: Marks, edges_ms: Tensor, *, masked: bool) -> Tensor:
    """Give each label the class that fills most of it.

    Parameters
    ----------
    marks : Marks
        Of N strips.
    edges_ms : Tensor of shape (N, T + 1), dtype float32
        Where labels begin and end, ascending, in ms of the strip.
    masked : bool
        Whether labels that nobody annotated become ``IGNORE``, and where the P waves of a strip are
        not marked, others of no wave ``OTHER_OR_P``. What lies outside of the strip is always
        ``IGNORE``.

    Returns
    -------
    Tensor of shape (N, T), dtype uint8
        At the edges of the frames of a shard, its column ``labels`` but for ``OTHER_OR_P``; see
        `openecg.waves.frame_labels`, whose rules these are.
    """
    start, end = edges_ms[:, :-1], edges_ms[:, 1:]
    length = end - start
    filled = _filled(marks.on_ms, marks.off_ms, edges_ms)  # [N, 3, T]
    other = length - filled.sum(dim=1)
    labels = torch.cat([other[:, None], filled], dim=1).argmax(dim=1).to(torch.uint8)
    beyond = (end - marks.end_ms[:, None]).clamp(min=0) + (-start).clamp(min=0)
    if masked:
        known_on, known_off = marks.span_ms[:, :1], marks.span_ms[:, 1:]
        beyond = beyond + _filled(marks.unknown_on_ms, marks.unknown_off_ms, edges_ms)[:, 0]
        beyond = torch.where((end <= known_on) | (start >= known_off), torch.inf, beyond)
    labels = labels.masked_fill((labels == OTHER) & (2 * beyond > length), IGNORE)
    if masked:
        labels = labels.masked_fill((labels == OTHER) & marks.p_unmarked[:, None], OTHER_OR_P)
    return labels


def offset_targets(marks: Marks, edges_ms: Tensor, *, samples_per_label: int) -> Tensor:
    """Distance from the start of each label to the nearest boundary of each kind.

    Parameters
    ----------
    marks : Marks
        Of N strips.
    edges_ms : Tensor of shape (N, T + 1), dtype float32
        Where labels begin and end, ascending and evenly, in ms of the strip.
    samples_per_label : int
        Samples of the network's input in each label.

    Returns
    -------
    Tensor of shape (N, T, 6), dtype float32
        In samples of the network's input, exact to the marks; NaN where no boundary of the kind
        lies within 25 of them.
    """
    start = edges_ms[:, :-1]
    n_labels = start.shape[1]
    n_kinds, width = marks.boundary_ms.shape[1:]
    places = start[:, None].expand(-1, n_kinds, -1).contiguous()  # [N, 6, T]
    after = torch.searchsorted(marks.boundary_ms, places)
    ahead = marks.boundary_ms.gather(2, after.clamp(max=width - 1)) - places
    behind = marks.boundary_ms.gather(2, (after - 1).clamp(min=0)) - places
    ahead = ahead.masked_fill(after == width, torch.inf)
    distance = torch.where(behind.abs() <= ahead.abs(), behind, ahead)
    label_ms = (edges_ms[:, -1] - edges_ms[:, 0]) / n_labels
    samples = distance * (samples_per_label / label_ms)[:, None, None]
    return samples.masked_fill(~(samples.abs() <= REACH), torch.nan).transpose(1, 2)


def _filled(on_ms: Tensor, off_ms: Tensor, edges_ms: Tensor) -> Tensor:
    """How much of each label intervals cover: (N, K, W) and (N, T + 1) to (N, K, T), in ms."""
    n_kinds = on_ms.shape[1]
    edges = edges_ms[:, None].expand(-1, n_kinds, -1).contiguous()
    length = torch.where(on_ms.isinf(), 0.0, off_ms - on_ms)
    before = length.cumsum(dim=2) - length
    at = torch.searchsorted(on_ms, edges, right=True) - 1  # the last interval that has begun
    begun = at >= 0
    at = at.clamp(min=0)
    inside = torch.minimum(edges - on_ms.gather(2, at), length.gather(2, at))
    covered = torch.where(begun, before.gather(2, at) + inside, 0.0)
    return covered.diff(dim=2)


def _padded(
    values: npt.NDArray[np.float64], row: npt.NDArray[np.int64], *, n_rows: int
) -> npt.NDArray[np.float32]:
    """Put each value into its row, in their order; rows are filled up with infinity."""
    order = np.argsort(row, kind="stable")
    counts = np.bincount(row, minlength=n_rows)
    column = np.arange(row.size) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.full((n_rows, max(counts.max(initial=0), 1)), np.inf, dtype=np.float32)
    table[row[order], column] = values[order]
    return table


def _annotated_spans(
    waves: Waves, strip: npt.NDArray[np.int64], n_strips: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Find the first and the last end of the waves of each strip; infinity and -infinity if none.

    For one strip, `openecg.waves.annotated_span`.
    """
    first, last = np.full(n_strips, np.inf), np.full(n_strips, -np.inf)
    for ends in (waves.on, waves.off):
        marked = ends != NOT_MARKED
        places = ends[marked].astype(np.float64)
        np.minimum.at(first, strip[marked], places)
        np.maximum.at(last, strip[marked], places)
    return first, last


def _unknown_regions(
    waves: Waves, n_waves: npt.NDArray[np.integer], fs_hz: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Find where the missing parts of incomplete waves may lie: strips, first samples, stops."""
    stops = np.cumsum(n_waves)
    regions = []
    for strip in np.unique(np.searchsorted(stops, np.flatnonzero(~waves.complete), side="right")):
        own = slice(stops[strip] - n_waves[strip], stops[strip])
        alone = Waves(waves.kind[own], waves.on[own], waves.peak[own], waves.off[own])
        spans = ignore_spans(alone, fs_hz=float(fs_hz[strip]))
        regions += [
            (strip, *joined) for joined in _merged([(first, last + 1) for _, first, last in spans])
        ]
    strips, firsts, ends = np.array(regions, dtype=np.int64).reshape(-1, 3).T
    return strips, firsts, ends


def _merged(regions: list[tuple[int, int]]) -> list[list[int]]:
    """Join half-open regions that overlap."""
    joined: list[list[int]] = []
    for first, stop in sorted(regions):
        if joined and first <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], stop)
        else:
            joined.append([first, stop])
    return joined
