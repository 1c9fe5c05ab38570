"""Boundary errors by the protocol of the QTDB literature: better lead, averaged over records."""

import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from openecg.bootstrap import ESTIMATE_ENDS, draw_records, estimate, estimated, ratio
from openecg.errors import DataError
from openecg.files import write_tsv
from openecg.groups import ALL, group_strips
from openecg.score import SEARCH_MS, StripWaves, average_records, better_lead_errors
from openecg.scored_split import MARKS, SYSTEM, ScoredPart, ScoredSplit, read_scored_split
from openecg.waves import BOUNDARIES

log = logging.getLogger(__name__)

PROTOCOL = "better_lead_record_averaged"
LEAD_GROUP = "better"
LEAST_POINTS = 2  # of a record, for a standard deviation
FIGURES = ("mean_ms", "sd_ms", "sensitivity")
COLUMNS = [
    *(*SYSTEM, "protocol", "tolerance", "lead_group", "record_group", "boundary"),
    *(f"{name}{end}" for name in FIGURES for end in ESTIMATE_ENDS),
    *("n_records", "n_seeds", "bootstrap"),
]

Floats = npt.NDArray[np.float64]


def score_classical(
    *, predictions: list[Path], shards: list[Path], table: Path, bootstrap: int, seed: int
) -> None:
    """Score one system on records whose leads were annotated together.

    Parameters
    ----------
    predictions : list of Path
        Predictions of one system on one split of one data set, a file for each seed.
    shards : list of Path
        All shards of that data set.
    table : Path
        TSV to write; see `tabulate_classical`.
    bootstrap : int
        Number of resamples.
    seed : int
        Seed of the resampling.

    Raises
    ------
    DataError
        If predictions and shards do not hold the same strips, or the leads of a record have
        different marks.
    """
    truth = ["peak_ms", "span_on_ms", "span_off_ms"]
    split = read_scored_split(predictions, shards, found=MARKS, truth=truth)
    rows = tabulate_classical(split, bootstrap=bootstrap, seed=seed)
    write_tsv(rows, table)
    log.info("%s: %d rows; %s", table, len(rows), split.system)


def tabulate_classical(split: ScoredSplit, *, bootstrap: int, seed: int) -> pd.DataFrame:
    """Average the errors of the better lead over records.

    Each annotated point takes the nearest prediction of its kind in any lead of the same window,
    up to 400 ms away. Mean and standard deviation are those of each record, averaged over the
    records with two such points or more; ``sensitivity`` is the share of all points that have one.

    Parameters
    ----------
    split : ScoredSplit
        With the marks of either side.
    bootstrap : int
        Number of resamples.
    seed : int
        Seed of the resampling.

    Returns
    -------
    DataFrame
        A row per seed, record group and boundary, and for two seeds or more of seed ``mean``; the
        columns are ``COLUMNS``. Intervals are 95 %, from resampling records.

    Raises
    ------
    DataError
        If the leads of a record have different marks.
    """
    record = split.record
    figures, marked = _figures(split)
    seeds = split.row_seeds
    tables = []
    for group in group_strips(split.described(marked)):
        if group.lead_group != ALL:
            continue
        members = np.unique(record[group.strips])
        own = figures[:, members]
        weights = draw_records(members.size, bootstrap=bootstrap, seed=seed)
        index = pd.MultiIndex.from_product([seeds, BOUNDARIES], names=["seed", "boundary"])
        rows = index.to_frame(index=False).assign(record_group=group.record_group)
        for i, name in enumerate(FIGURES):
            values = estimate(own[..., i, :], ratio, weights)
            for column, value in estimated(name, values).items():
                rows[column] = value.ravel()
        n_records = own[..., 0, 1].sum(axis=1)
        if len(seeds) > 1:
            n_records = np.concatenate([n_records, n_records.max(axis=0)[None]])
        rows["n_records"] = n_records.ravel().astype(np.int64)
        tables.append(rows)
    table = pd.concat(tables, ignore_index=True)
    table["n_seeds"] = np.where(table["seed"].isin(split.seeds), 1, len(split.seeds))
    return table.assign(
        system=split.system,
        dataset=split.dataset,
        split=split.split,
        protocol=PROTOCOL,
        tolerance=f"{SEARCH_MS:g}ms",
        lead_group=LEAD_GROUP,
        bootstrap=bootstrap,
    )[COLUMNS]


def _figures(split: ScoredSplit) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Give upper and lower part of the figures of each seed, record and boundary.

    Returns
    -------
    figures : ndarray of shape (n_seeds, n_records, n_boundaries, 3, 2), dtype float64
        They are ``FIGURES``.
    marked : ndarray of shape (n_strips, 2), dtype int64
        As of `ScoredPart.marked_onsets`.
    """
    record = split.record
    figures = np.zeros((len(split.seeds), record[-1] + 1, len(BOUNDARIES), len(FIGURES), 2))
    marked = np.zeros((len(record), 2), dtype=np.int64)
    for part in split.parts():
        _add_figures(figures, part, record[part.rows])
        marked[part.rows] = part.marked_onsets()
    return figures, marked


def _add_figures(figures: Floats, part: ScoredPart, record: npt.NDArray[np.int64]) -> None:
    """Put in the figures of the records of a part, given the record of each of its strips."""
    n_strips = len(part.rows)
    window = part.truth["window"].to_numpy()
    truth = _by_strip(part.true_waves(), n_strips)
    together = [
        np.flatnonzero((record == one) & (window == number))
        for one, number in dict.fromkeys(zip(record.tolist(), window.tolist(), strict=True))
    ]
    for leads in together:
        _check_alike(part, [[times[lead] for times in truth] for lead in leads], leads)
    for i, waves in enumerate(part.called_waves()):
        called = _by_strip(waves, n_strips)
        for j, (true_ms, called_ms) in enumerate(zip(truth, called, strict=True)):
            errors_ms: dict[int, list[Floats]] = {}
            for leads in together:
                errors_ms.setdefault(int(record[leads[0]]), []).append(
                    better_lead_errors(
                        true_ms[leads[0]],
                        [called_ms[lead] for lead in leads],
                        search_ms=SEARCH_MS,
                    )
                )
            for one, parts in errors_ms.items():
                own = average_records([np.concatenate(parts)], min_points=LEAST_POINTS)
                figures[i, one, j, 2] = own.n_hits, own.n_points
                if own.n_records:
                    figures[i, one, j, :2] = [[own.mean_ms, 1], [own.sd_ms, 1]]


def _by_strip(waves: StripWaves, n_strips: int) -> list[list[Floats]]:
    """Give the times of each boundary in ms, by strip."""
    times = []
    for name in BOUNDARIES:
        at_ms, strip = waves.boundary(name)
        order = np.argsort(strip, kind="stable")
        ends = np.searchsorted(strip[order], np.arange(n_strips - 1), side="right")
        times.append(np.split(at_ms[order], ends))
    return times


def _check_alike(part: ScoredPart, marks: list[list[Floats]], leads: npt.NDArray[np.int64]) -> None:
    """Refuse leads of a window that were annotated apart."""
    for lead, own in zip(leads, marks, strict=True):
        if any(not np.array_equal(a, b) for a, b in zip(own, marks[0], strict=True)):
            strip = part.truth.select(["record_id", "lead"]).slice(int(lead), 1).to_pylist()[0]
            raise DataError(
                f"{part.shards[0].parent}: record {strip['record_id']} lead {strip['lead']} is "
                "not marked as the first lead is; this protocol needs leads annotated together"
            )
