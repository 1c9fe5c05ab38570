"""Predictions of all seeds of one system, joined with the marks they are scored against."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from openecg.blocks import blocks
from openecg.errors import DataError
from openecg.files import ParquetRows, read_keys
from openecg.predictions import strip_name
from openecg.rhythms import has_p_waves
from openecg.score import StripWaves
from openecg.selection import ALL, TUNING
from openecg.splits import TRAIN
from openecg.waves import QRS, P, T

KEYS = ["dataset", "record_id", "lead", "window"]
SYSTEM = ["system", "seed", "dataset", "split"]
DESCRIBED = ["rhythm", "conduction", "paced"]
MARKS = ["wave_kind", "on_ms", "off_ms"]
MEAN_SEED = "mean"  # in column `seed`: the mean over all seeds of a system
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ScoredPart:
    """Some strips of a split from both sides, sorted by their keys.

    Attributes
    ----------
    rows : ndarray of shape (n_strips,), dtype int64
        Which strips of the split, in ascending order.
    predictions, shards : list of Path
        Where they come from, for messages.
    found : list of pa.Table
        Predictions of each seed.
    truth : pa.Table
        Rows of the shards.
    """

    rows: Rows
    predictions: list[Path]
    shards: list[Path]
    found: list[pa.Table]
    truth: pa.Table

    def true_waves(self) -> StripWaves:
        """Gather the annotated waves of all strips."""
        return _strip_waves(self.truth, self.shards[0].parent)

    def called_waves(self) -> list[StripWaves]:
        """Gather the predicted waves of all strips, for each seed."""
        return [_strip_waves(*one) for one in zip(self.found, self.predictions, strict=True)]

    def true_frames(self) -> npt.NDArray[np.uint8]:
        """Return the frame labels of all strips, shape (n_strips, n_frames)."""
        return _frames(self.truth, "labels", self.shards[0].parent)

    def called_frames(self) -> list[npt.NDArray[np.uint8]]:
        """Return the predicted frames of all strips, for each seed."""
        return [_frames(t, "frames", p) for t, p in zip(self.found, self.predictions, strict=True)]

    def p_unmarked(self) -> npt.NDArray[np.bool_]:
        """Tell which strips have P waves, none of which is marked, shape (n_strips,)."""
        waves = self.true_waves()
        n_p = np.bincount(waves.strip[waves.kind == P], minlength=len(self.rows))
        unmarked: npt.NDArray[np.bool_] = has_p_waves(self.truth["rhythm"]) & (n_p == 0)
        return unmarked

    def marked_onsets(self) -> Rows:
        """Count the marked onsets of QRS and T in each strip, shape (n_strips, 2)."""
        waves, n_strips = self.true_waves(), len(self.rows)
        marked = [waves.strip[(waves.kind == k) & ~np.isnan(waves.on_ms)] for k in (QRS, T)]
        return np.stack([np.bincount(strips, minlength=n_strips) for strips in marked], axis=1)


@dataclass(frozen=True)
class ScoredSplit:
    """The strips of one split from both sides, sorted by their keys; read part by part.

    Attributes
    ----------
    system, dataset, split : str
        As in the predictions.
    seeds : list of str
        In ascending order; ``""`` for a system without.
    predictions, shards : list of Path
        Where the strips come from; predictions one for each seed.
    strips : DataFrame
        ``KEYS`` and ``DESCRIBED`` of each strip, and ``is_first``: whether the lead comes first in
        its record.
    found_columns, truth_columns : list of str
        What to read from either side.
    found_rows : list of ndarray of shape (n_strips,), dtype int64
        Row of each strip in the predictions of each seed.
    truth_rows : ndarray of shape (n_strips,), dtype int64
        Row of each strip in the shards, numbered through.
    """

    system: str
    dataset: str
    split: str
    seeds: list[str]
    predictions: list[Path]
    shards: list[Path]
    strips: pd.DataFrame
    found_columns: list[str]
    truth_columns: list[str]
    found_rows: list[Rows]
    truth_rows: Rows

    @property
    def row_seeds(self) -> list[str]:
        """Seeds as tables name them: of two or more, last the mean over all."""
        return [*self.seeds, MEAN_SEED] if len(self.seeds) > 1 else self.seeds

    @property
    def record(self) -> Rows:
        """Number of the record of each strip; the strips of a record are neighbours."""
        _, codes = np.unique(self.strips["record_id"].tolist(), return_inverse=True)
        return codes.astype(np.int64)

    def described(self, marked_onsets: npt.NDArray[np.integer]) -> pd.DataFrame:
        """Describe each strip as `openecg.groups.group_strips` takes it.

        Parameters
        ----------
        marked_onsets : ndarray of shape (n_strips, 2)
            As of `ScoredPart.marked_onsets`.
        """
        columns = ["record_id", "lead", *DESCRIBED, "is_first"]
        counts = {"n_qrs_on": marked_onsets[:, 0], "n_t_on": marked_onsets[:, 1]}
        strips: pd.DataFrame = self.strips[columns].assign(**counts)
        return strips

    def parts(self) -> Iterator[ScoredPart]:
        """Read the strips in the order of the shards, whole records at a time."""
        in_shards = np.argsort(self.truth_rows, kind="stable")
        with ExitStack() as stack:
            truth = stack.enter_context(ParquetRows(self.shards, self.truth_columns))
            found = [
                stack.enter_context(ParquetRows([path], self.found_columns))
                for path in self.predictions
            ]
            for block in blocks(self.record[in_shards]):
                rows = np.sort(in_shards[block])
                yield ScoredPart(
                    rows=rows,
                    predictions=self.predictions,
                    shards=self.shards,
                    found=[
                        file.take(own[rows])
                        for file, own in zip(found, self.found_rows, strict=True)
                    ],
                    truth=truth.take(self.truth_rows[rows]),
                )

    def gather(
        self, count: Callable[[ScoredPart], Sequence[npt.NDArray[Any]]]
    ) -> list[npt.NDArray[Any]]:
        """Count something in each strip, part by part.

        Parameters
        ----------
        count : callable
            Gives arrays whose first axis are the strips of a part.

        Returns
        -------
        list of ndarray
            The same for all strips of the split.
        """
        gathered: list[npt.NDArray[Any]] = []
        for part in self.parts():
            counted = count(part)
            if not gathered:
                n_strips = len(self.strips)
                gathered = [np.zeros((n_strips, *own.shape[1:]), own.dtype) for own in counted]
            for all_of_it, own in zip(gathered, counted, strict=True):
                all_of_it[part.rows] = own
        return gathered


def read_scored_split(
    predictions: list[Path], shards: list[Path], *, found: list[str], truth: list[str]
) -> ScoredSplit:
    """Find the predicted strips on both sides; what they hold is read by `ScoredSplit.parts`.

    Parameters
    ----------
    predictions : list of Path
        All seeds of one system on one split of one data set, a file for each.
    shards : list of Path
        All shards of that data set.
    found, truth : list of str
        Columns to read from either side besides the keys, and what groups the strips.

    Returns
    -------
    ScoredSplit
        A split ``all`` holds the strips of all shards, ``tuning`` those of the predicted records
        of ``train``, any other those of the same name.

    Raises
    ------
    DataError
        If the predictions are not as said, or do not hold the same strips as the shards: all of
        the split, whole records in ``tuning``.
    """
    if not predictions:
        raise DataError("no predictions to score")
    if not shards:
        raise DataError(f"{predictions[0]}: no shards to score against")
    keys = [*SYSTEM, *KEYS[1:]]
    pred = {path: _keys_of(path, keys, found) for path in predictions}
    names = {path: _system_of(table, path) for path, table in pred.items()}
    ordered = sorted(predictions, key=lambda path: (len(names[path]["seed"]), names[path]["seed"]))
    first = names[ordered[0]]
    for before, path in itertools.pairwise(ordered):
        for name in ("system", "dataset", "split"):
            if names[path][name] != first[name]:
                raise DataError(
                    f"{path}: {name} {names[path][name]!r} differs from {first[name]!r} of "
                    f"{ordered[0]}; one table is of one {name}"
                )
        if names[path]["seed"] == names[before]["seed"]:
            raise DataError(f"{path}: seed {names[path]['seed']!r} is also that of {before}")
    of_shards = [*KEYS, "rhythm", *truth, *(name for name in MARKS if name not in truth)]
    strips = _strips(shards, of_shards, first["split"], list(pred.values()))
    side = _index(strips[KEYS], shards[0].parent)
    order = side.sort_values()
    place = {ALL: "", TUNING: f"split {TRAIN!r} of "}.get(
        first["split"], f"split {first['split']!r} of "
    )
    found_rows = []
    for path in ordered:
        own = _index(pred[path].select(KEYS).to_pandas(), path)
        for one, other, text in ((own, side, "is predicted, but not in"), (side, own, "is in")):
            missing = other.get_indexer(one) < 0
            if missing.any():
                alone = one[missing].sort_values()
                more = f" (and {len(alone) - 1} more)" if len(alone) > 1 else ""
                but = ", but not predicted" if one is side else ""
                where = f"{place}{shards[0].parent}{but}"
                raise DataError(f"{path}: {strip_name(alone[0])}{more} {text} {where}")
        found_rows.append(own.get_indexer(order).astype(np.int64))
    in_order = side.get_indexer(order)
    return ScoredSplit(
        system=first["system"],
        dataset=first["dataset"],
        split=first["split"],
        seeds=[names[path]["seed"] for path in ordered],
        predictions=ordered,
        shards=shards,
        strips=strips.drop(columns="row").iloc[in_order].reset_index(drop=True),
        found_columns=[*KEYS, *found],
        truth_columns=of_shards,
        found_rows=found_rows,
        truth_rows=strips["row"].to_numpy()[in_order],
    )


def _keys_of(path: Path, keys: list[str], more: list[str]) -> pa.Table:
    """Read the keys of predictions; DataError if they lack other columns that are needed."""
    with ParquetRows([path], [*keys, *more]):
        return read_keys(path, keys)


def _strips(
    shards: list[Path], needed: list[str], split: str, predictions: list[pa.Table]
) -> pd.DataFrame:
    """Read the keys of the strips that a prediction of a split must hold.

    Returns
    -------
    DataFrame
        ``KEYS DESCRIBED is_first`` and ``row``, their number in the shards.
    """
    n_rows, chosen = 0, []
    with ParquetRows(shards, ["split", *DESCRIBED, *needed]):
        for path in shards:
            table = read_keys(path, ["split", *KEYS, *DESCRIBED])
            numbers = pa.array(np.arange(n_rows, n_rows + table.num_rows))
            n_rows += table.num_rows
            table = table.append_column("row", numbers)
            chosen.append(table.filter(pa.array(_chosen(table, split, predictions))))
    strips: pd.DataFrame = pa.concat_tables(chosen).drop_columns("split").to_pandas()
    first = strips.groupby(["dataset", "record_id"], sort=False)["lead"].transform("first")
    return strips.assign(is_first=strips["lead"] == first)


def _system_of(table: pa.Table, path: Path) -> dict[str, str]:
    """Return system, seed, data set and split of a prediction file, which must be the same."""
    if not table.num_rows:
        raise DataError(f"{path}: no rows; one per strip of the split is needed")
    for name in SYSTEM:
        values = sorted(map(str, table[name].unique().to_pylist()))
        if len(values) != 1:
            raise DataError(f"{path}: {name} must be the same in all rows, found {values}")
    return {name: str(table[name][0].as_py()) for name in SYSTEM}


def _chosen(shards: pa.Table, split: str, predictions: list[pa.Table]) -> npt.NDArray[np.bool_]:
    """Tell which rows of the shards a prediction of a split must hold."""
    if split == ALL:
        return np.ones(shards.num_rows, dtype=bool)
    of_split: npt.NDArray[np.bool_] = shards["split"].to_numpy() == (
        TRAIN if split == TUNING else split
    )
    if split == TUNING:
        predicted = {record for one in predictions for record in one["record_id"].to_pylist()}
        of_split &= np.isin(shards["record_id"].to_pylist(), sorted(predicted))
    return of_split


def _index(keys: pd.DataFrame, path: Path) -> pd.MultiIndex:
    """Give the keys of the strips, each of which may be there once."""
    index = pd.MultiIndex.from_frame(keys)
    if index.has_duplicates:
        strip = strip_name(index[index.duplicated()][0])
        raise DataError(f"{path}: {strip} is there twice; allowed is one row per strip")
    return index


def _flat(table: pa.Table, column: str) -> tuple[npt.NDArray[np.generic], Rows]:
    """Values of a column of lists, and the length of each list."""
    lists = table[column].combine_chunks()
    lengths = lists.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
    return lists.flatten().to_numpy(zero_copy_only=False), lengths


def _frames(table: pa.Table, column: str, path: Path) -> npt.NDArray[np.uint8]:
    values, lengths = _flat(table, column)
    odd = np.flatnonzero(lengths != lengths[0])
    if odd.size:
        strip = table.select(KEYS).slice(odd[0], 1).to_pylist()[0]
        raise DataError(
            f"{path}: {strip_name(strip.values())} has {lengths[odd[0]]} {column}, "
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
                f"{path}: {strip_name(key.values())} has {lengths[odd[0]]} waves "
                f"but {n_values[odd[0]]} values of {column}"
            )
        times[column] = values.astype(np.float64)
    return StripWaves(strip=strip, kind=kind.astype(np.uint8), **times)
