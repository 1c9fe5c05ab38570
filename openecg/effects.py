"""What a change does: systems against those they are made from, on the same records."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from openecg.bootstrap import draw_records, percentiles, rates_of, ratio, resampled
from openecg.errors import ConfigError, DataError
from openecg.files import write_tsv
from openecg.grouped import by_dataset, first_row
from openecg.metrics import per_record, score_strips
from openecg.score import ANNOTATED_SPAN, PROTOCOLS
from openecg.scored_split import MARKS, SYSTEM, read_scored_split
from openecg.selection import ALL, HELD_OUT, TUNING
from openecg.tolerances import TOLERANCES
from openecg.waves import BOUNDARIES

log = logging.getLogger(__name__)

TOLERANCE = "martinez"
TARGETS = (*BOUNDARIES, "macro")
INVENTED = "P_on"  # the boundary whose false positives are counted
COLUMNS = [
    *("dataset", "split", "system", "reference", "changes", "protocol", "tolerance", "target"),
    *("metric", "value", "effect", "effect_lo", "effect_hi"),
    *("n_records", "n_seeds", "n_seeds_reference", "bootstrap"),
]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Counted:
    """What a system did in each record.

    Attributes
    ----------
    records : list of str
        Their ids, in the order of the arrays.
    boundaries : ndarray of shape (n_seeds, n_records, n_boundaries, 3), dtype float64
        Hits, false positives, misses.
    density : ndarray of shape (n_seeds, n_records, 1, 2), dtype float64
        False P onsets, and the annotated time in units of 10 s.
    """

    records: list[str]
    boundaries: Floats
    density: Floats


def compare_systems(
    *,
    pairs: str,
    predictions: list[Path],
    shards: list[Path],
    bootstrap: int,
    seed: int,
    table: Path,
) -> None:
    """Write the effect of each system against its reference.

    Parameters
    ----------
    pairs : str
        JSON: a list of ``{"scope", "system", "reference", "changes"}``, where ``changes`` says in
        what the two differ.
    predictions : list of Path
        Predictions of these systems, for any data sets and splits; all seeds of each.
    shards : list of Path
        All shards of these data sets.
    bootstrap : int
        Number of resamples.
    seed : int
        Seed of the resampling.
    table : Path
        TSV: for each data set and split on which both are scored, a row for the F1 of each boundary
        and their mean ``macro`` at Martinez tolerances, and for the false P onsets per 10 s of
        annotated lead in which they count, in protocol ``annotated_span``, all leads. ``value`` is
        that of the system, ``effect`` what it is above that of its reference, each the mean over
        the seeds, with a 95 % interval from the same resamples of the records for both.

    Raises
    ------
    ConfigError
        If ``pairs`` is not JSON.
    DataError
        If predictions and shards do not fit, or two that are compared are of different records.
    """
    try:
        wanted: list[dict[str, str]] = json.loads(pairs)
    except json.JSONDecodeError as error:
        raise ConfigError(f"pairs: not JSON: {error}") from error
    by_place: dict[tuple[str, str], dict[str, list[Path]]] = {}
    for path in predictions:
        system, _, dataset, split = first_row(path, SYSTEM)
        by_place.setdefault((dataset, split), {}).setdefault(system, []).append(path)
    own_shards = by_dataset(shards)
    tables = []
    for (dataset, split), systems in by_place.items():
        scope = split if split in (TUNING, ALL) else HELD_OUT
        here = [one for one in wanted if one["scope"] == scope]
        here = [one for one in here if {one["system"], one["reference"]} <= set(systems)]
        needed = {one[side] for one in here for side in ("system", "reference")}
        counted = {
            name: count_records(paths, own_shards.get(dataset, []))
            for name, paths in systems.items()
            if name in needed
        }
        for one in here:
            pair = counted[one["system"]], counted[one["reference"]]
            if pair[0].records != pair[1].records:
                raise DataError(
                    f"{systems[one['system']][0]}: not of the same records as "
                    f"{systems[one['reference']][0]}, with which it is to be compared"
                )
            rows = effects(*pair, bootstrap=bootstrap, seed=seed)
            tables.append(rows.assign(dataset=dataset, split=split, **one))
    found = pd.concat(tables) if tables else pd.DataFrame(columns=COLUMNS)
    found = found.assign(protocol=ANNOTATED_SPAN, tolerance=TOLERANCE, bootstrap=bootstrap)
    write_tsv(found[COLUMNS], table)
    log.info("%s: %d rows, %d comparisons", table, len(found), len(tables))


def count_records(predictions: list[Path], shards: list[Path]) -> Counted:
    """Match the boundaries of one system at Martinez tolerances, and count by record.

    Parameters
    ----------
    predictions : list of Path
        Predictions of one system on one split of one data set, a file for each seed.
    shards : list of Path
        All shards of that data set.

    Raises
    ------
    DataError
        If predictions and shards do not hold the same strips.
    """
    truth = ["peak_ms", "span_on_ms", "span_off_ms"]
    split = read_scored_split(predictions, shards, found=MARKS, truth=truth)
    scored = score_strips(split, errors=False)
    at = PROTOCOLS.index(ANNOTATED_SPAN), list(TOLERANCES).index(TOLERANCE)
    every, record = np.ones(len(split.strips), dtype=bool), split.record
    counts = per_record(scored.counts, every, record)
    density = scored.density_per_record(counts, every, record)
    invented = [BOUNDARIES.index(INVENTED)]
    return Counted(
        records=list(dict.fromkeys(split.strips["record_id"].tolist())),
        boundaries=counts[:, :, *at],
        density=density[:, :, *at, invented],
    )


def effects(system: Counted, reference: Counted, *, bootstrap: int, seed: int) -> pd.DataFrame:
    """Subtract a reference from a system, with intervals.

    Parameters
    ----------
    system, reference : Counted
        Of the same records.
    bootstrap : int
        Number of resamples.
    seed : int
        Seed of the resampling.

    Returns
    -------
    DataFrame
        ``target metric value effect effect_lo effect_hi n_records n_seeds n_seeds_reference``.
    """
    weights = draw_records(len(system.records), bootstrap=bootstrap, seed=seed)
    both = (system.boundaries, reference.boundaries)
    of_both = rates_of(*both)
    f1 = _effect(*both, lambda sums: of_both(sums)[..., 0], weights)
    false = _effect(system.density, reference.density, ratio, weights)
    rows = [(target, "f1", *figures) for target, figures in zip(TARGETS, f1.T, strict=True)]
    rows.append((INVENTED, "false_per_10_s", *false[:, 0]))
    names = ["target", "metric", "value", "effect", "effect_lo", "effect_hi"]
    return pd.DataFrame(rows, columns=names).assign(
        n_records=len(system.records),
        n_seeds=len(system.boundaries),
        n_seeds_reference=len(reference.boundaries),
    )


def _effect(
    system: Floats, reference: Floats, statistic: Callable[[Floats], Floats], weights: Floats
) -> Floats:
    """Give value, effect and its limits, for each figure of a statistic (last axis)."""
    values = [statistic(side.sum(axis=1)).mean(axis=0) for side in (system, reference)]
    drawn = [resampled(side, statistic, weights).mean(axis=1) for side in (system, reference)]
    limits = percentiles(drawn[0] - drawn[1])
    return np.stack([values[0], values[0] - values[1], *limits])
