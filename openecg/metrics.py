"""Metric tables: predictions of one system, all its seeds, against the marks in the shards."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from openecg.blocks import blocks
from openecg.bootstrap import (
    ESTIMATE_ENDS,
    draw_records,
    estimate,
    estimated,
    mean_and_sd,
    rates_of,
    ratio,
)
from openecg.errors import DataError
from openecg.files import read_tsv, write_tsv
from openecg.groups import Group, group_strips
from openecg.score import (
    ANNOTATED_SPAN,
    FRAME_PROTOCOLS,
    PROTOCOLS,
    UNEXCUSED,
    BoundaryCounts,
    absolute_percentiles,
    count_boundary,
    count_frames,
)
from openecg.scored_split import (
    MARKS,
    MEAN_SEED,
    SYSTEM,
    Rows,
    ScoredPart,
    ScoredSplit,
    read_scored_split,
)
from openecg.tolerances import TOLERANCES
from openecg.waves import BOUNDARIES, KINDS, P

log = logging.getLogger(__name__)

DENSITY_MS = 10_000.0  # false positives are given per so much annotated time
RATES = ("f1", "sensitivity", "ppv")
FRAME_ROWS = (*KINDS.values(), "mean_wave")
FRAME_COLUMNS = [
    *("protocol", "lead_group", "record_group", "wave"),
    *(f"{rate}{end}" for rate in RATES for end in ESTIMATE_ENDS),
    *("tp", "fp", "fn", "n_records", "n_sequences", "n_seeds", "bootstrap"),
]
BOUNDARY_ROWS = (*BOUNDARIES, "macro")
BOUNDARY_COLUMNS = [
    *("protocol", "tolerance", "lead_group", "record_group", "boundary", "tolerance_ms"),
    *(f"{name}{end}" for name in (*RATES, "mean_ms", "sd_ms") for end in ESTIMATE_ENDS),
    *("median_ms", "p95_ms", *(f"false_per_10_s{end}" for end in ESTIMATE_ENDS)),
    *("n_true", "n_pred", "n_hits", "n_boundaries"),
    *("n_records", "n_sequences", "n_seeds", "bootstrap"),
]
COUNTS = ("tp", "fp", "fn", "n_true", "n_pred", "n_hits")
Floats = npt.NDArray[np.float64]


def score_frames(
    *, predictions: list[Path], shards: list[Path], table: Path, bootstrap: int, seed: int
) -> None:
    """Score the frames of one system on one split.

    Parameters
    ----------
    predictions : list of Path
        Predictions of one system on one split of one data set, a file for each seed.
    shards : list of Path
        All shards of that data set.
    table : Path
        TSV to write; see `tabulate_frames`.
    bootstrap : int
        Number of resamples.
    seed : int
        Seed of the resampling.

    Raises
    ------
    DataError
        If predictions and shards do not hold the same strips, or labels are not as documented.
    """
    split = read_scored_split(predictions, shards, found=["frames"], truth=["labels"])
    _write_scores(tabulate_frames(split, bootstrap=bootstrap, seed=seed), table)


def score_boundaries(
    *, predictions: list[Path], shards: list[Path], table: Path, bootstrap: int, seed: int
) -> None:
    """Score the boundaries of one system on one split.

    Parameters
    ----------
    predictions : list of Path
        Predictions of one system on one split of one data set, a file for each seed.
    shards : list of Path
        All shards of that data set.
    table : Path
        TSV to write; see `tabulate_boundaries`.
    bootstrap : int
        Number of resamples.
    seed : int
        Seed of the resampling.

    Raises
    ------
    DataError
        If predictions and shards do not hold the same strips.
    """
    truth = ["peak_ms", "span_on_ms", "span_off_ms"]
    split = read_scored_split(predictions, shards, found=MARKS, truth=truth)
    _write_scores(tabulate_boundaries(split, bootstrap=bootstrap, seed=seed), table)


def tabulate_frames(split: ScoredSplit, *, bootstrap: int, seed: int) -> pd.DataFrame:
    """Score frames, of all leads and records and by groups of them.

    Parameters
    ----------
    split : ScoredSplit
        With the columns ``frames`` and ``labels``.
    bootstrap : int
        Number of resamples.
    seed : int
        Seed of the resampling.

    Returns
    -------
    DataFrame
        A row per seed, protocol, group and wave, and the mean of the waves ``mean_wave``. With two
        seeds or more also rows of seed ``mean``: the mean over the seeds of each rate, and the
        least and the largest. Frames of all records are pooled; intervals are 95 %, from
        resampling records, the same ones for every seed.

    Raises
    ------
    DataError
        If labels are not as documented, or of another number than the predictions.
    """
    counts, marked = split.gather(lambda part: (_part_frames(part), part.marked_onsets()))
    counts = np.moveaxis(counts, 1, 0)  # seed, strip, protocol, wave, (hits, false, misses)
    groups, record = group_strips(split.described(marked)), split.record
    draw = _drawing(bootstrap=bootstrap, seed=seed)
    columns = []
    for group in groups:
        sums = per_record(counts, group.strips, record)
        values = estimate(sums, rates_of(sums), draw(sums.shape[1]))
        hits, false, misses = np.moveaxis(_totals(sums), -1, 0)
        found = {"tp": hits, "fp": false, "fn": misses}
        for rate, value in zip(RATES, np.moveaxis(values, -1, 0), strict=True):
            found |= estimated(rate, value)
        columns.append(found)
    rows = _table(split, groups, columns, protocol=FRAME_PROTOCOLS, wave=FRAME_ROWS)
    return rows.assign(bootstrap=bootstrap)[[*SYSTEM, *FRAME_COLUMNS]]


def tabulate_boundaries(split: ScoredSplit, *, bootstrap: int, seed: int) -> pd.DataFrame:
    """Score boundaries, of all leads and records and by groups of them.

    Parameters
    ----------
    split : ScoredSplit
        With the marks of either side, and the annotated span.
    bootstrap : int
        Number of resamples.
    seed : int
        Seed of the resampling.

    Returns
    -------
    DataFrame
        A row per seed, protocol, tolerance, group and boundary, and ``macro``, the mean of the
        boundaries that have truth (``n_boundaries`` of them). Rates are of the pooled counts,
        errors of the hits. ``false_per_10_s`` is the number of false positives per 10 s of the
        annotated span of a lead in which they count, in the protocols that count there only.
        Intervals are 95 %, from resampling records, the same ones for every seed. Rows of seed
        ``mean`` as in `tabulate_frames`.
    """
    scored = score_strips(split)
    groups, record = group_strips(split.described(scored.marked_onsets)), split.record
    draw = _drawing(bootstrap=bootstrap, seed=seed)
    columns = []
    for group in groups:
        counts = per_record(scored.counts, group.strips, record)
        moments = scored.moments_per_record(counts, group.strips, record)
        density = scored.density_per_record(counts, group.strips, record)
        weights = draw(counts.shape[1])
        found = _rate_columns(counts, weights)
        mean_ms, sd_ms = np.moveaxis(estimate(moments, mean_and_sd, weights), -1, 0)
        found |= estimated("mean_ms", _of_all_protocols(mean_ms))
        found |= estimated("sd_ms", _of_all_protocols(sd_ms))
        median_ms, p95_ms = np.moveaxis(_with_mean(scored.spread_ms(group.strips)), -1, 0)
        found |= {"median_ms": _of_all_protocols(median_ms), "p95_ms": _of_all_protocols(p95_ms)}
        densities = estimate(density, ratio, weights)
        columns.append(found | estimated("false_per_10_s", _with_macro(densities)))
    rows = _table(
        split,
        groups,
        columns,
        protocol=PROTOCOLS,
        tolerance=tuple(TOLERANCES),
        boundary=BOUNDARY_ROWS,
    )
    rows["tolerance_ms"] = [
        TOLERANCES[tolerance].get(boundary, np.nan)
        for tolerance, boundary in zip(rows["tolerance"], rows["boundary"], strict=True)
    ]
    return rows.assign(bootstrap=bootstrap)[[*SYSTEM, *BOUNDARY_COLUMNS]]


def collect_metrics(*, tables: list[Path], table: Path) -> None:
    """Put the tables of all systems, seeds, data sets and splits into one.

    Parameters
    ----------
    tables : list of Path
        Tables of ``score_frames``, or tables of ``score_boundaries``.
    table : Path
        TSV to write, sorted by data set, split, system and seed; rows of one table keep their
        order.

    Raises
    ------
    DataError
        If there is no table, the columns differ, or two tables score the same.
    """
    if not tables:
        raise DataError(f"{table}: no metric tables to collect")
    seen: dict[tuple[str, ...], Path] = {}
    parts: list[pd.DataFrame] = []
    for path in sorted(tables):
        part = read_tsv(path)
        if parts and list(part.columns) != list(parts[0].columns):
            raise DataError(
                f"{path}: columns {', '.join(part.columns)} differ from those of "
                f"{sorted(tables)[0]}: {', '.join(parts[0].columns)}"
            )
        part["seed"] = part["seed"].fillna("")
        for scored in part[SYSTEM].drop_duplicates().itertuples(index=False, name=None):
            if scored in seen:
                raise DataError(f"{path}: scores {' '.join(scored)}, as {seen[scored]} does")
            seen[scored] = path
        parts.append(part)
    rows = pd.concat(parts, ignore_index=True)
    rows = rows.sort_values(["dataset", "split", "system", "seed"], kind="stable")
    write_tsv(rows, table)
    log.info("%s: %d rows from %d tables", table, len(rows), len(tables))


def _rate_columns(sums: Floats, weights: Floats) -> dict[str, Floats]:
    """Rates of the boundaries and of all as ``macro``, and the counts behind them."""
    values = estimate(sums, rates_of(sums), weights)
    columns: dict[str, Floats] = {}
    for rate, value in zip(RATES, np.moveaxis(values, -1, 0), strict=True):
        columns |= estimated(rate, value)
    hits, false, misses = np.moveaxis(_totals(sums), -1, 0)
    true = np.broadcast_to((hits + misses)[:1], hits.shape)  # of the seeds' mean too
    n_boundaries = (true > 0).astype(np.int64)
    n_boundaries[..., -1] = n_boundaries[..., :-1].sum(axis=-1)
    counts = {"n_true": true, "n_pred": hits + false, "n_hits": hits, "n_boundaries": n_boundaries}
    return columns | counts


@dataclass(frozen=True)
class ScoredStrips:
    """What became of the boundaries in each strip.

    Attributes
    ----------
    counts : ndarray of shape (n_seeds, n_strips, n_protocols, n_tolerances, n_boundaries, 3), int16
        Hits, false positives, misses.
    errors : ndarray of shape (n_seeds, n_strips, n_tolerances, n_boundaries, 2), float64
        Sum of the errors of the hits in ms, and of the squares of these.
    time : ndarray of shape (n_strips, n_protocols, n_boundaries), float64
        Annotated time in which a false positive would count, in units of ``DENSITY_MS``; 0 in
        protocols that count elsewhere too.
    marked_onsets : ndarray of shape (n_strips, 2)
        As of `ScoredPart.marked_onsets`.
    error_ms : nested list of ndarray
        By seed, tolerance and boundary: the error of each hit, hits of a strip together, in the
        smallest type of float that holds them exactly.
    order : ndarray of shape (n_strips,), dtype int64
        The strips in the order of ``error_ms``.
    """

    counts: npt.NDArray[np.int16]
    errors: Floats
    time: Floats
    marked_onsets: npt.NDArray[np.int64]
    error_ms: list[list[list[npt.NDArray[np.floating]]]]
    order: Rows

    def moments_per_record(
        self, counts: Floats, members: npt.NDArray[np.bool_], record: Rows
    ) -> Floats:
        """Sum number, errors and squares of errors of the hits.

        Parameters
        ----------
        counts : ndarray
            Those of the members, by `per_record`.
        members, record
            As for `per_record`.

        Returns
        -------
        ndarray of shape (n_seeds, n_records, n_tolerances, n_boundaries, 3), dtype float64
        """
        sums = per_record(self.errors, members, record)
        return np.concatenate([counts[:, :, 0, :, :, :1], sums], axis=-1)

    def density_per_record(
        self, counts: Floats, members: npt.NDArray[np.bool_], record: Rows
    ) -> Floats:
        """Put the annotated time in which they would count beside the false positives.

        Parameters
        ----------
        counts, members, record
            As for `moments_per_record`.

        Returns
        -------
        ndarray of shape (n_seeds, n_records, n_protocols, n_tolerances, n_boundaries, 2), float64
            False positives, and the time in units of ``DENSITY_MS``.
        """
        time = per_record(self.time[None], members, record)[..., None, :]
        false = counts[..., 1]
        return np.stack([false, np.broadcast_to(time, false.shape)], axis=-1)

    def spread_ms(self, strips: npt.NDArray[np.bool_]) -> Floats:
        """Median and 95th percentile of the absolute errors in some strips (last axis)."""
        chosen = strips[self.order]
        return np.array(
            [
                [
                    [
                        absolute_percentiles(
                            one[np.repeat(chosen, self.counts[seed, self.order, 0, i, j, 0])]
                        )
                        for j, one in enumerate(row)
                    ]
                    for i, row in enumerate(rows)
                ]
                for seed, rows in enumerate(self.error_ms)
            ]
        )


def score_strips(split: ScoredSplit, *, errors: bool = True) -> ScoredStrips:
    """Match the boundaries of all seeds at all tolerances.

    Parameters
    ----------
    split : ScoredSplit
        With the marks of either side, and the annotated span.
    errors : bool
        False: of the errors of the hits nothing is kept, for which there is no use then.
    """
    order: list[Rows] = []
    error_ms: list[list[list[list[npt.NDArray[np.floating]]]]] = [
        [[[] for _ in BOUNDARIES] for _ in TOLERANCES] for _ in split.seeds if errors
    ]

    def count(part: ScoredPart) -> list[npt.NDArray[Any]]:
        span_ms = np.stack([part.truth[k].to_numpy() for k in ("span_on_ms", "span_off_ms")], 1)
        found = _part_boundaries(part, span_ms)
        order.append(part.rows)
        for here, own in zip(error_ms, found, strict=False):  # nothing without errors
            for row, own_row in zip(here, own, strict=True):
                for one, counted in zip(row, own_row, strict=True):
                    # By strip, as the counts say: the marks of a strip may not be together.
                    by_strip = np.argsort(counted.error_strip, kind="stable")
                    one.append(_smallest(counted.error_ms[by_strip]))
        counts = _of_each(found, lambda one: one.counts, np.int16).transpose(4, 0, 3, 1, 2, 5)
        time = _countable_time(span_ms, part.p_unmarked())
        found = found if errors else []
        sums = _of_each(found, lambda one: _error_sums(one, len(span_ms)), np.float64)
        sums = sums.reshape(len(found), len(TOLERANCES), len(BOUNDARIES), len(span_ms), 2)
        return [counts, sums.transpose(3, 0, 1, 2, 4), time, part.marked_onsets()]

    counts, sums, time, marked_onsets = split.gather(count)
    return ScoredStrips(
        counts=np.moveaxis(counts, 1, 0),
        errors=np.moveaxis(sums, 1, 0),
        time=time,
        marked_onsets=marked_onsets,
        error_ms=[[[np.concatenate(one) for one in row] for row in rows] for rows in error_ms],
        order=np.concatenate(order),
    )


def _countable_time(span_ms: Floats, p_unmarked: npt.NDArray[np.bool_]) -> Floats:
    """Give ``time`` of `ScoredStrips` for some strips, by what `count_boundary` counts."""
    time = np.zeros((len(span_ms), len(PROTOCOLS), len(BOUNDARIES)))
    span = np.nan_to_num(span_ms[:, 1] - span_ms[:, 0]) / DENSITY_MS
    excused, unexcused = PROTOCOLS.index(ANNOTATED_SPAN), PROTOCOLS.index(UNEXCUSED)
    time[:, [excused, unexcused]] = span[:, None, None]
    for place, name in enumerate(BOUNDARIES):
        if name.startswith(KINDS[P]):
            time[p_unmarked, excused, place] = 0
    return time


def _part_frames(part: ScoredPart) -> npt.NDArray[np.int32]:
    """Count the frames of each strip, shape (n_strips, n_seeds, n_protocols, n_waves, 3)."""
    truth = part.true_frames()
    try:
        counts = [count_frames(truth, called) for called in part.called_frames()]
    except ValueError as error:
        raise DataError(f"{part.predictions[0]}: {error}") from error
    return np.stack(counts).transpose(2, 0, 1, 3, 4).astype(np.int32)


def _part_boundaries(part: ScoredPart, span_ms: Floats) -> list[list[list[BoundaryCounts]]]:
    """Match the boundaries of some strips; by seed, tolerance and boundary."""
    truth, p_unmarked = part.true_waves(), part.p_unmarked()
    return [
        [
            [
                count_boundary(
                    boundary,
                    truth=truth,
                    predicted=called,
                    span_ms=span_ms,
                    p_unmarked=p_unmarked,
                    tolerance_ms=tolerances_ms[boundary],
                )
                for boundary in BOUNDARIES
            ]
            for tolerances_ms in TOLERANCES.values()
        ]
        for called in part.called_waves()
    ]


def _of_each(
    found: list[list[list[BoundaryCounts]]],
    value: Callable[[BoundaryCounts], npt.ArrayLike],
    dtype: type[np.generic],
) -> npt.NDArray[Any]:
    """Give a value of each seed, tolerance and boundary, the first three axes."""
    return np.array([[[value(one) for one in row] for row in rows] for rows in found], dtype=dtype)


def _error_sums(found: BoundaryCounts, n_strips: int) -> Floats:
    """Sum the errors of the hits in each strip, and the squares of these."""
    powers = (found.error_ms, found.error_ms**2)
    sums = [np.bincount(found.error_strip, power, minlength=n_strips) for power in powers]
    return np.stack(sums, axis=-1)


def _smallest(values: Floats) -> npt.NDArray[Any]:
    """Store values in the smallest type of float that holds them exactly."""
    for kind in (np.float16, np.float32):
        small = values.astype(kind)
        if np.array_equal(small, values):
            return small
    return values


def _drawing(*, bootstrap: int, seed: int) -> Callable[[int], Floats]:
    """Draw records as `draw_records` does; the last draws, which many groups share, are kept."""
    return lru_cache(maxsize=2)(partial(draw_records, bootstrap=bootstrap, seed=seed))


def per_record(
    strips: npt.NDArray[np.generic], members: npt.NDArray[np.bool_], record: Rows
) -> Floats:
    """Sum over the strips of each record that has some among the members.

    Parameters
    ----------
    strips : ndarray of shape (n_seeds, n_strips, ...)
        What to sum.
    members : ndarray of shape (n_strips,), dtype bool
        The strips that count.
    record : ndarray of shape (n_strips,), dtype int64
        Record of each strip, in ascending order.

    Returns
    -------
    ndarray of shape (n_seeds, n_records, ...), dtype float64
    """
    chosen = np.flatnonzero(members)
    parts = []
    for block in blocks(record[chosen]):
        starts = np.flatnonzero(np.diff(record[chosen[block]], prepend=-1))
        own = strips[:, chosen[block]].astype(np.float64)
        parts.append(np.add.reduceat(own, starts, axis=1))
    return np.concatenate(parts, axis=1)


def _totals(sums: Floats) -> Floats:
    """Hits, false positives, misses of all records, for each target and last for all together.

    The row for the mean over seeds, if there is one, is NaN.
    """
    totals = sums.sum(axis=1)
    totals = np.concatenate([totals, totals.sum(axis=-2, keepdims=True)], axis=-2)
    if len(totals) == 1:
        return totals
    return np.concatenate([totals, np.full_like(totals[:1], np.nan)])


def _with_mean(values: Floats) -> Floats:
    """Append the mean over seeds (axis 0) where there are several."""
    return values if len(values) == 1 else np.concatenate([values, values.mean(axis=0)[None]])


def _with_macro(values: Floats) -> Floats:
    """Append to the boundaries (last axis) the row ``macro``, which has no such figure."""
    return np.concatenate([values, np.full_like(values[..., :1], np.nan)], axis=-1)


def _of_all_protocols(values: Floats) -> Floats:
    """Repeat figures (..., tolerance, boundary) that do not depend on the protocol."""
    every = np.stack([values] * len(PROTOCOLS), axis=-3)
    return _with_macro(every)


def _table(
    split: ScoredSplit,
    groups: Sequence[Group],
    columns: Sequence[Mapping[str, Floats]],
    **levels: Sequence[str],
) -> pd.DataFrame:
    """Lay out the columns of all groups, whose axes are the seeds and then the levels.

    The groups come between the last two levels.
    """
    *outer, target = levels
    names = ["seed", *outer, "group", target]
    axes = [split.row_seeds, *(levels[name] for name in outer), range(len(groups)), levels[target]]
    index = pd.MultiIndex.from_product([list(labels) for labels in axes], names=names)
    rows = index.to_frame(index=False)
    for name in columns[0]:
        rows[name] = np.stack([of_group[name] for of_group in columns], axis=-2).ravel()
        if name in COUNTS:
            rows[name] = rows[name].astype("Int64")
    record = split.record
    described = pd.DataFrame(
        {
            "lead_group": [group.lead_group for group in groups],
            "record_group": [group.record_group for group in groups],
            "n_records": [np.unique(record[group.strips]).size for group in groups],
            "n_sequences": [np.count_nonzero(group.strips) for group in groups],
        }
    )
    rows = rows.join(described, on="group")
    rows["n_seeds"] = np.where(rows["seed"] == MEAN_SEED, len(split.seeds), 1)
    return rows.assign(system=split.system, dataset=split.dataset, split=split.split)


def _write_scores(scores: pd.DataFrame, table: Path) -> None:
    write_tsv(scores, table)
    log.info(
        "%s: %d rows; %s on %d strips of %d records, %d seeds",
        table,
        len(scores),
        scores["system"].iloc[0],
        scores["n_sequences"].max(),
        scores["n_records"].max(),
        scores["n_seeds"].max(),
    )
