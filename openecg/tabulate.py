"""Print one of the tables of `openecg.table_list` from the long table of numbers."""

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from openecg.errors import ConfigError
from openecg.files import write_tsv
from openecg.groups import ALL
from openecg.numbers import KEYS, read_numbers
from openecg.scored_split import MEAN_SEED
from openecg.selection import TUNING
from openecg.splits import TRAIN
from openecg.table_list import TABLES, Table

log = logging.getLogger(__name__)

KNOWN = ", known"  # ends the name of a column of published numbers
SOURCES = "sources"
SOURCE_GAP = " | "
SYSTEM = "system"
DECODING = "decoding"
BUDGET = ["trained_on", "training", "selection", "epochs", "batch_size", "parameters", DECODING]
NO_SEED = "none"
TRAINED = "learnt from {trained_on}; training {training}; {selection}; epochs {epochs}, "
TRAINED += "batches of {batch_size}; {parameters} parameters"
RESTS_ON = ["records", "seeds", "interval"]
NOT_SHOWN = (TUNING, TRAIN)
NOTHING = r"(?!)"
GROUPED = ("dataset", "split", "record_group")  # which records there are depends on these


def write_table(*, numbers: Path, name: str, table: Path) -> None:
    """Write one of the tables that a run prints.

    Parameters
    ----------
    numbers : Path
        The long table (``tabulate-numbers``).
    name : str
        Which of `openecg.table_list.TABLES`.
    table : Path
        TSV of text; see `lay_out`. Without any number it has no rows.

    Raises
    ------
    ConfigError
        If there is no such table.
    """
    if name not in TABLES:
        raise ConfigError(f"name: no table {name!r}; one of {', '.join(TABLES)}")
    printed = lay_out(TABLES[name], read_numbers(numbers))
    write_tsv(printed, table)
    log.info("%s: %d rows, %d columns", table, *printed.shape)


def systems_made(rows: pd.DataFrame) -> list[tuple[list[str], str]]:
    """Say what systems learnt from and how, and then how they decode.

    Parameters
    ----------
    rows : DataFrame of str
        ``system`` and ``BUDGET``, empty where nothing is known or learnt.

    Returns
    -------
    list of (list of str, str)
        Systems that are made alike, and how.
    """
    systems = rows[["system", *BUDGET]].drop_duplicates()
    systems = systems[systems[DECODING] != ""]
    trained = systems[systems["trained_on"] != ""]
    found = [
        (list(own["system"]), TRAINED.format(**dict(zip(BUDGET, made, strict=False))))
        for made, own in trained.groupby(BUDGET[:-1], sort=False)
    ]
    found += [
        (list(own["system"]), f"decoding {decoding}")
        for decoding, own in systems.groupby(DECODING, sort=False)
    ]
    return found


def read_table(path: Path) -> pd.DataFrame:
    """Read a table of `write_table`, every cell as the text that it is."""
    return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)


def lay_out(table: Table, numbers: pd.DataFrame) -> pd.DataFrame:
    """Pick the numbers of a table and put them in rows and columns.

    Parameters
    ----------
    table : Table
        What to pick and where to put it.
    numbers : DataFrame
        The long table, as `openecg.numbers.read_numbers` gives it.

    Returns
    -------
    DataFrame
        Text. First the keys that are neither in rows nor in columns, then those of the rows; what
        a system learnt from and how; the numbers of records and seeds, and the interval. Then a
        column for each number, ``value [lo, hi] min to max``, and where something is known of it a
        column ``..., known`` beside; last the ``sources`` of the known numbers of the row. Systems
        known from elsewhere have no value and come last.
    """
    picked = pick_numbers(table, numbers)
    keys = [*blocks_of(table), *table.rows]
    heads = [*keys, *BUDGET, *RESTS_ON]
    if picked.empty:
        return pd.DataFrame(columns=heads)
    label = {place: " ".join(filter(None, place)) for place in _in_order(picked, table.columns)}
    by_row = dict(list(picked.groupby(keys, sort=False)))
    rows = []
    for key in _in_order(picked, keys):
        own = by_row[key]
        row = dict(zip(keys, key, strict=True)) | _described(own, table)
        for _, one in own.iterrows():
            head = label[tuple(one[list(table.columns)])]
            row[head], row[head + KNOWN] = _value(one), _known(one)
        said = (own["source"] + " " + own["tag"])[own["known"].notna()]
        row[SOURCES] = SOURCE_GAP.join(dict.fromkeys(said))
        rows.append(row)
    columns = [name for head in label.values() for name in (head, head + KNOWN)]
    printed = pd.DataFrame(rows, columns=[*heads, *columns, SOURCES]).fillna("")
    return printed.loc[:, [name in heads or (printed[name] != "").any() for name in printed]]


def blocks_of(table: Table) -> list[str]:
    """Name the keys that are the same in all numbers of a block of a table."""
    return [key for key in KEYS if key not in (*table.rows, *table.columns)]


def pick_numbers(table: Table, numbers: pd.DataFrame) -> pd.DataFrame:
    """Take the numbers of a table, each key of them with its place in ``rank of ...``.

    Parameters
    ----------
    table : Table
        What to pick.
    numbers : DataFrame
        The long table.

    Returns
    -------
    DataFrame
        Rows of ``numbers``.
    """
    numbers = numbers.assign(setting=numbers["system"].str.partition("+")[0])
    scored = set(numbers.loc[numbers["value"].notna(), "system"])
    is_scored = numbers["system"].isin(scored)
    fits = _matches(numbers["system"], table.systems) & is_scored
    fits |= _matches(numbers["system"], table.elsewhere or NOTHING) & ~is_scored
    if table.changed:
        changed = numbers[_matches(numbers["changes"], table.changed)]
        fits &= numbers["setting"].isin({*changed["setting"], *changed["base"]}) | ~is_scored
    if "split" not in table.pick:
        fits &= ~numbers["split"].isin(NOT_SHOWN)
    picked = numbers[fits]
    order = dict.fromkeys([*numbers.loc[is_scored, "system"], *numbers["system"]])
    ranks: dict[str, pd.Series[Any]] = {key: picked[key].map(_ranks(picked[key])) for key in KEYS}
    ranks["system"] = picked["system"].map(_ranks(order))
    if table.order:
        ranks["system"] = picked[table.order].astype(float).fillna(np.inf)
    every = {"lead_group": (ALL,), "record_group": (ALL,)}
    for names, values in {**every, **table.pick}.items():
        first, *more = names.split()
        joined: pd.Series[Any] = picked[first]
        for name in more:
            joined = joined + " " + picked[name]
        ranks |= dict.fromkeys(names.split(), joined.map(_ranks(values)))
    picked = picked.assign(**{f"rank of {key}": rank for key, rank in ranks.items()})
    picked = picked.dropna(subset=[f"rank of {key}" for key in ranks])
    if table.together:
        places = picked.groupby(["setting", "dataset", "split"])
        picked = picked[places["system"].transform("nunique") > 1]
    return picked


def _matches(texts: "pd.Series[str]", pattern: str) -> "pd.Series[bool]":
    """Tell which texts a regular expression fits as a whole; each different one is tried once."""
    fits = {text for text in texts.unique() if re.fullmatch(pattern, text)}
    return texts.isin(fits)


def _ranks(values: Iterable[str]) -> dict[str, int]:
    """Give each value its place, in the order in which they come first."""
    return {value: place for place, value in enumerate(dict.fromkeys(values))}


def _in_order(picked: pd.DataFrame, keys: Sequence[str]) -> list[tuple[str, ...]]:
    """Give the different values of some keys, by their ranks."""
    ordered = picked.sort_values([f"rank of {key}" for key in keys], kind="stable")
    return list(ordered[list(keys)].drop_duplicates().itertuples(index=False, name=None))


def _described(rows: pd.DataFrame, table: Table) -> dict[str, str]:
    """Say what the numbers of one row of a table rest on."""
    ours = rows[rows["value"].notna()]
    if ours.empty:
        return {}
    one = ours.iloc[0]
    said = {name: one[name] if isinstance(one[name], str) else _whole(one[name]) for name in BUDGET}
    apart = [key for key in GROUPED if key in table.columns]
    places = ours[apart].agg(" ".join, axis=1) if apart else pd.Series("", ours.index)
    records = []
    for place, counts in ours["n_records"].groupby(places, sort=False):
        least, most = f"{counts.min():.0f}", f"{counts.max():.0f}"
        records.append(f"{place} {least if least == most else f'{least} to {most}'}".strip())
    seed = one["seed"] or NO_SEED
    limited = ours["lo"].notna().any()
    return said | {
        "records": "; ".join(records),
        "seeds": f"mean of {one['n_seeds']:.0f}" if seed == MEAN_SEED else _seed(seed),
        "interval": f"95 %, {one['bootstrap']:.0f} resamples" if limited else "none",
    }


def _seed(seed: str) -> str:
    """Say that there is one seed, and which."""
    return f"one, {seed}" if seed.isdigit() else seed


def _whole(count: float) -> str:
    """Write a number of things, if there is one."""
    return "" if pd.isna(count) else f"{count:.0f}"


def _value(row: "pd.Series[Any]") -> str:
    """Write a number of the run with its interval and the range of its seeds."""
    if pd.isna(row["value"]):
        return ""
    parts = [_number(row["metric"], row["value"]), _interval(row, "lo", "hi")]
    if not pd.isna(row["min"]):
        parts.append(" to ".join(_number(row["metric"], row[end]) for end in ("min", "max")))
    return " ".join(filter(None, parts))


def _known(row: "pd.Series[Any]") -> str:
    """Write a known number with its interval and its tag."""
    if pd.isna(row["known"]):
        return ""
    interval = _interval(row, "known_lo", "known_hi")
    return " ".join(filter(None, [_number(row["metric"], row["known"]), interval, row["tag"]]))


def _interval(row: "pd.Series[Any]", low: str, high: str) -> str:
    """Write an interval, if there is one."""
    if pd.isna(row[low]):
        return ""
    return f"[{', '.join(_number(row['metric'], row[end]) for end in (low, high))}]"


def _number(metric: str, value: float) -> str:
    """Write rates with three decimals, times in ms with one, errors with their sign."""
    if metric.endswith("_ms"):
        return f"{round(value, 1) + 0.0:{'+' if metric == 'mean_ms' else ''}.1f}"
    return f"{value:.2f}" if metric.startswith("false_") else f"{value:.3f}"
