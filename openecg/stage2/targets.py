"""Marks become training targets of any resolution, on the device, also when time is stretched."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from openecg.waves import (
    IGNORE,
    KINDS,
    NOTHING_ANNOTATED,
    OTHER,
    annotated_span,
    ignore_spans,
    waves_from_ms,
)

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
    """

    on_ms: Tensor
    off_ms: Tensor
    boundary_ms: Tensor
    unknown_on_ms: Tensor
    unknown_off_ms: Tensor
    span_ms: Tensor
    end_ms: Tensor

    def at(self, rows: Tensor) -> "Marks":
        """Take the strips at ``rows``."""
        return Marks(*(getattr(self, field.name)[rows] for field in fields(self)))

    def to(self, device: torch.device) -> "Marks":
        """Move to a device."""
        return Marks(*(getattr(self, field.name).to(device) for field in fields(self)))


@dataclass(frozen=True)
class StripMarks:
    """Marks of one strip, as lists of the rows of `Marks`."""

    on_ms: list[npt.NDArray[np.float64]]
    off_ms: list[npt.NDArray[np.float64]]
    boundary_ms: list[npt.NDArray[np.float64]]
    unknown_on_ms: list[npt.NDArray[np.float64]]
    unknown_off_ms: list[npt.NDArray[np.float64]]
    span_ms: tuple[float, float]
    end_ms: float


def strip_marks(
    kind: npt.NDArray[np.uint8],
    on_ms: npt.NDArray[np.float64],
    peak_ms: npt.NDArray[np.float64],
    off_ms: npt.NDArray[np.float64],
    *,
    native_fs_hz: float,
    native_samples: int,
) -> StripMarks:
    """Sort out the columns of a shard row.

    Parameters
    ----------
    kind, on_ms, peak_ms, off_ms : ndarray of shape (n_waves,)
        Columns of the shard; NaN where not marked.
    native_fs_hz, native_samples
        Columns of the shard.
    """
    sample_ms = 1000.0 / native_fs_hz
    waves = waves_from_ms(kind, on_ms, peak_ms, off_ms, fs_hz=native_fs_hz)
    whole = waves.complete
    of_kind = [kind == code for code in KINDS]
    boundaries = []
    for own in of_kind:  # the order of BOUNDARIES
        for ends in (on_ms, off_ms):
            marks = ends[own]
            boundaries.append(np.sort(marks[~np.isnan(marks)]))
    unknown_on, unknown_off = _merged(
        [(first, last + 1) for _, first, last in ignore_spans(waves, fs_hz=native_fs_hz)]
    )
    first, last = annotated_span(waves) or NOTHING_ANNOTATED
    return StripMarks(
        on_ms=[on_ms[whole & own] for own in of_kind],
        off_ms=[off_ms[whole & own] + sample_ms for own in of_kind],
        boundary_ms=boundaries,
        unknown_on_ms=[unknown_on * sample_ms],
        unknown_off_ms=[unknown_off * sample_ms],
        span_ms=(first * sample_ms, (last + 1) * sample_ms)
        if (first, last) != NOTHING_ANNOTATED
        else (np.inf, -np.inf),
        end_ms=native_samples * sample_ms,
    )


def stack_marks(strips: Sequence[StripMarks]) -> Marks:
    """Put the marks of strips into tensors on the CPU."""

    def padded(name: str) -> Tensor:
        rows = [getattr(strip, name) for strip in strips]
        width = max((values.size for row in rows for values in row), default=0)
        table = np.full((len(rows), len(rows[0]), max(width, 1)), np.inf, dtype=np.float32)
        for i, row in enumerate(rows):
            for j, values in enumerate(row):
                table[i, j, : values.size] = values
        return torch.from_numpy(table)

    lists = [field.name for field in fields(StripMarks)][:5]
    return Marks(
        **{name: padded(name) for name in lists},
        span_ms=torch.tensor([strip.span_ms for strip in strips], dtype=torch.float32),
        end_ms=torch.tensor([strip.end_ms for strip in strips], dtype=torch.float32),
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
        Whether labels that nobody annotated become ``IGNORE``. What lies outside of the strip
        always does.

    Returns
    -------
    Tensor of shape (N, T), dtype uint8
        At the edges of the frames of a shard, its column ``labels``; see
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
    return labels.masked_fill((labels == OTHER) & (2 * beyond > length), IGNORE)


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


def _merged(
    regions: list[tuple[int, int]],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Join half-open regions that overlap."""
    joined: list[list[int]] = []
    for first, stop in sorted(regions):
        if joined and first <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], stop)
        else:
            joined.append([first, stop])
    table = np.array(joined, dtype=np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]
