"""Metric tables: predictions of one system on one split against the marks in the shards."""

import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from openecg.errors import DataError
from openecg.files import read_parquet, read_tsv, write_tsv
from openecg.score import (
    PROTOCOLS,
    TOLERANCES,
    StripWaves,
    count_boundary,
    count_frames,
    error_statistics,
    estimate,
)
from openecg.waves import BOUNDARIES, KINDS

log = logging.getLogger(__name__)

KEYS = ["dataset", "record_id", "lead", "window"]
SYSTEM = ["system", "seed", "dataset", "split"]
LEAD_GROUPS = {
    "II": ("II",),
    "limb": ("I", "II", "III", "aVR", "aVL", "aVF"),
    "precordial": ("V1", "V2", "V3", "V4", "V5", "V6"),
}
FRAME_ROWS = (*KINDS.values(), "mean_wave")
FRAME_COLUMNS = [
    *("protocol", "lead_group", "wave", "f1", "f1_lo", "f1_hi", "sensitivity", "ppv"),
    *("tp", "fp", "fn", "n_records", "n_sequences"),
]
BOUNDARY_ROWS = (*BOUNDARIES, "macro")
BOUNDARY_COLUMNS = [
    *("protocol", "tolerance", "lead_group", "boundary", "tolerance_ms"),
    *("f1", "f1_lo", "f1_hi", "sensitivity", "sensitivity_lo", "sensitivity_hi"),
    *("ppv", "ppv_lo", "ppv_hi", "mean_ms", "sd_ms", "median_ms", "p95_ms"),
    *("n_true", "n_pred", "n_hits", "n_boundaries", "n_records", "n_sequences"),
]
Row = dict[str, str | float | None]


def score_frames(
    *, predictions: Path, shards: list[Path], table: Path, bootstrap: int, seed: int
) -> None:
    """Score the frames of one system on one split.

    Parameters
    ----------
    predictions : Path
        Predictions of one system on the whole of one split of one data set.
    shards : list of Path
        All shards of that data set.
    table : Path
        TSV to write: one row per protocol, lead group and wave, and their mean ``mean_wave``.
        Frames of all records are pooled; intervals are 95 %, from resampling records.
    bootstrap : int
        Number of resamples.
    seed : int
        Seed of the resampling.

    Raises
    ------
    DataError
        If predictions and shards do not hold the same strips, or labels are not as documented.
    """
    found, truth = _read_joined(predictions, shards, found=["frames"], truth=["labels"])
    true_frames, called = _frames(truth, "labels", shards[0]), _frames(found, "frames", predictions)
    groups, records = _lead_groups(truth), _records(truth)
    rows = []
    for protocol in PROTOCOLS:
        try:
            counts = count_frames(true_frames, called, protocol=protocol)
        except ValueError as error:
            raise DataError(f"{predictions}: {error}") from error
        for group, members in groups.items():
            per_record = _per_record(counts[members], records[members])
            values = estimate(per_record, bootstrap=bootstrap, seed=seed)
            totals = _totals(per_record)
            for i, wave in enumerate(FRAME_ROWS):
                row: Row = {"protocol": protocol, "lead_group": group, "wave": wave}
                row |= dict(zip(("f1", "f1_lo", "f1_hi"), values[i, 0], strict=True))
                row |= {"sensitivity": values[i, 1, 0], "ppv": values[i, 2, 0]}
                row |= dict(zip(("tp", "fp", "fn"), totals[i], strict=True))
                row |= {"n_records": len(per_record), "n_sequences": int(members.sum())}
                rows.append(row)
    _write_scores(rows, FRAME_COLUMNS, found, table, bootstrap)


def score_boundaries(
    *, predictions: Path, shards: list[Path], table: Path, bootstrap: int, seed: int
) -> None:
    """Score the boundaries of one system on one split.

    Parameters
    ----------
    predictions : Path
        Predictions of one system on the whole of one split of one data set.
    shards : list of Path
        All shards of that data set.
    table : Path
        TSV to write: one row per protocol, tolerance, lead group and boundary, and ``macro``, the
        mean of the boundaries that have truth (``n_boundaries`` of them). Rates are of the pooled
        counts, their intervals 95 % from resampling records; errors are of the hits.
    bootstrap : int
        Number of resamples.
    seed : int
        Seed of the resampling.

    Raises
    ------
    DataError
        If predictions and shards do not hold the same strips.
    """
    spans = ["span_on_ms", "span_off_ms"]
    marks = ["wave_kind", "on_ms", "off_ms"]
    found, truth = _read_joined(predictions, shards, found=marks, truth=[*marks, "peak_ms", *spans])
    true_waves, called = _strip_waves(truth, shards[0]), _strip_waves(found, predictions)
    span_ms = np.stack([truth[name].to_numpy() for name in spans], axis=1)
    groups, records = _lead_groups(truth), _records(truth)
    rows = []
    for protocol in PROTOCOLS:
        for tolerance, tolerances_ms in TOLERANCES.items():
            scored = [
                count_boundary(
                    boundary,
                    truth=true_waves,
                    predicted=called,
                    span_ms=span_ms,
                    tolerance_ms=tolerances_ms[boundary],
                    protocol=protocol,
                )
                for boundary in BOUNDARIES
            ]
            counts = np.stack([boundary.counts for boundary in scored], axis=1)
            for group, members in groups.items():
                per_record = _per_record(counts[members], records[members])
                values = estimate(per_record, bootstrap=bootstrap, seed=seed)
                errors_ms = [s.error_ms[members[s.error_strip]] for s in scored]
                for row in _boundary_rows(per_record, values, errors_ms):
                    row["tolerance_ms"] = tolerances_ms.get(str(row["boundary"]))
                    row |= {"protocol": protocol, "tolerance": tolerance, "lead_group": group}
                    row |= {"n_records": len(per_record), "n_sequences": int(members.sum())}
                    rows.append(row)
    _write_scores(rows, BOUNDARY_COLUMNS, found, table, bootstrap)


def _boundary_rows(
    per_record: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    errors_ms: list[npt.NDArray[np.float64]],
) -> list[Row]:
    """Rates, errors and counts of the six boundaries, and of all as ``macro``."""
    rows = []
    totals = _totals(per_record)
    has_truth = [hits + misses > 0 for hits, _, misses in totals]
    for i, boundary in enumerate(BOUNDARY_ROWS):
        hits, false, misses = totals[i]
        row: Row = {"boundary": boundary}
        for rate, value in zip(("f1", "sensitivity", "ppv"), values[i], strict=True):
            row |= dict(zip((rate, f"{rate}_lo", f"{rate}_hi"), value, strict=True))
        if boundary in BOUNDARIES:
            row |= error_statistics(errors_ms[i])
        row |= {"n_true": hits + misses, "n_pred": hits + false, "n_hits": hits}
        row["n_boundaries"] = int(has_truth[i]) if boundary in BOUNDARIES else sum(has_truth[:-1])
        rows.append(row)
    return rows


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


def _read_joined(
    predictions: Path, shards: list[Path], *, found: list[str], truth: list[str]
) -> tuple[pa.Table, pa.Table]:
    """Read the strips of the predicted split from both sides, in the same order.

    Strips are sorted by their keys. The truth also gets ``is_first``: whether the lead comes first
    in its record.
    """
    pred = read_parquet(predictions, columns=[*SYSTEM, *KEYS[1:], *found])
    if not pred.num_rows:
        raise DataError(f"{predictions}: no rows; one per strip of the split is needed")
    for name in SYSTEM:
        values = sorted(map(str, pred[name].unique().to_pylist()))
        if len(values) != 1:
            raise DataError(f"{predictions}: {name} must be the same in all rows, found {values}")
    split = pred["split"][0].as_py()
    if not shards:
        raise DataError(f"{predictions}: no shards to score against")
    parts = [read_parquet(path, columns=["split", *KEYS, *truth]) for path in shards]
    both = pa.concat_tables(parts)
    keys = both.select(["split", *KEYS]).to_pandas()
    first = keys.drop_duplicates(["dataset", "record_id"]).index
    first_lead = keys.loc[first].set_index(["dataset", "record_id"])["lead"]
    record = pd.MultiIndex.from_frame(keys[["dataset", "record_id"]])
    is_first = keys["lead"].to_numpy() == first_lead.reindex(record).to_numpy()
    both = both.append_column("is_first", pa.array(is_first))
    both = both.filter(pa.array(keys["split"].to_numpy() == split))
    sides = []
    for path, table in ((predictions, pred), (shards[0].parent, both)):
        index = pd.MultiIndex.from_frame(table.select(KEYS).to_pandas())
        if index.has_duplicates:
            strip = _name(index[index.duplicated()][0])
            raise DataError(f"{path}: {strip} is there twice; allowed is one row per strip")
        sides.append(index)
    for index, other, text in (
        (sides[0], sides[1], f"is predicted, but not in split {split!r} of {shards[0].parent}"),
        (sides[1], sides[0], f"is in split {split!r} of {shards[0].parent}, but not predicted"),
    ):
        alone = index.difference(other)
        if len(alone):
            more = f" (and {len(alone) - 1} more)" if len(alone) > 1 else ""
            raise DataError(f"{predictions}: {_name(alone[0])}{more} {text}")
    order = sides[0].sort_values()
    return pred.take(sides[0].get_indexer(order)), both.take(sides[1].get_indexer(order))


def _name(key: Iterable[object]) -> str:
    dataset, record_id, lead, window = key
    return f"{dataset} record {record_id} lead {lead} window {window}"


def _flat(table: pa.Table, column: str) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.int64]]:
    """Values of a column of lists, and the length of each list."""
    lists = table[column].to_numpy(zero_copy_only=False)
    lengths = np.array([len(values) for values in lists], dtype=np.int64)
    return np.concatenate(lists), lengths


def _frames(table: pa.Table, column: str, path: Path) -> npt.NDArray[np.uint8]:
    """Frame labels of all strips, shape (n_strips, n_frames)."""
    values, lengths = _flat(table, column)
    odd = np.flatnonzero(lengths != lengths[0])
    if odd.size:
        strip = table.select(KEYS).slice(odd[0], 1).to_pylist()[0]
        raise DataError(
            f"{path}: {_name(strip.values())} has {lengths[odd[0]]} {column}, "
            f"other strips have {lengths[0]}"
        )
    return values.reshape(len(lengths), -1).astype(np.uint8)


def _strip_waves(table: pa.Table, path: Path) -> StripWaves:
    """Gather the waves of all strips; peaks are NaN where the table has none."""
    kind, lengths = _flat(table, "wave_kind")
    strip = np.repeat(np.arange(len(lengths)), lengths)
    times = {}
    for column in ("on_ms", "peak_ms", "off_ms"):
        if column not in table.column_names:
            times[column] = np.full(strip.size, np.nan)
            continue
        values, n_values = _flat(table, column)
        odd = np.flatnonzero(n_values != lengths)
        if odd.size:
            key = table.select(KEYS).slice(odd[0], 1).to_pylist()[0]
            raise DataError(
                f"{path}: {_name(key.values())} has {lengths[odd[0]]} waves "
                f"but {n_values[odd[0]]} values of {column}"
            )
        times[column] = values.astype(np.float64)
    return StripWaves(strip=strip, kind=kind.astype(np.uint8), **times)


def _lead_groups(table: pa.Table) -> dict[str, npt.NDArray[np.bool_]]:
    """Which strips belong to each lead group that is there.

    ``first`` is the first lead of each record, where no record has more than two.
    """
    leads = table["lead"].to_numpy(zero_copy_only=False)
    groups = {"all": np.ones(len(leads), dtype=bool)}
    groups |= {name: np.isin(leads, members) for name, members in LEAD_GROUPS.items()}
    if (
        table.select(["record_id", "lead"]).to_pandas().groupby("record_id").lead.nunique().max()
        < 3
    ):
        groups["first"] = table["is_first"].to_numpy(zero_copy_only=False)
    return {name: members for name, members in groups.items() if members.any()}


def _records(table: pa.Table) -> npt.NDArray[np.int64]:
    """Give each strip the number of its record."""
    _, codes = np.unique(table["record_id"].to_pylist(), return_inverse=True)
    return codes.astype(np.int64)


def _per_record(
    counts: npt.NDArray[np.int64], records: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Sum counts of strips over each record that is there, shape (n_records, n_targets, 3)."""
    names, at = np.unique(records, return_inverse=True)
    sums = np.zeros((len(names), *counts.shape[1:]), dtype=np.int64)
    np.add.at(sums, at, counts)
    return sums


def _totals(per_record: npt.NDArray[np.int64]) -> list[list[int]]:
    """Hits, false positives and misses of each target, and last of all together."""
    totals = per_record.sum(axis=0)
    both: list[list[int]] = np.concatenate([totals, totals.sum(axis=0)[None]]).tolist()
    return both


def _write_scores(
    rows: list[Row], columns: list[str], found: pa.Table, table: Path, bootstrap: int
) -> None:
    scores = pd.DataFrame(rows, columns=columns)
    scores["bootstrap"] = bootstrap
    for at, name in enumerate(SYSTEM):
        scores.insert(at, name, found[name][0].as_py())
    write_tsv(scores, table)
    log.info(
        "%s: %d rows; %s on %d strips of %d records",
        table,
        len(scores),
        scores["system"][0],
        scores["n_sequences"].max(),
        scores["n_records"].max(),
    )
