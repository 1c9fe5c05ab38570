"""The one long table: a row for each number of a run, with what is known beside it."""

import json
import logging
from pathlib import Path

import pandas as pd

from openecg.errors import ConfigError, DataError
from openecg.files import read_tsv, write_tsv
from openecg.groups import ALL
from openecg.leads import LEADS
from openecg.published import load_published
from openecg.scored_split import MEAN_SEED

log = logging.getLogger(__name__)

METRICS = (
    *("f1", "sensitivity", "ppv", "mean_ms", "sd_ms", "median_ms", "p95_ms", "false_per_10_s"),
)
# What makes a number the number that it is; the same keys that published numbers have.
PLACE = ["dataset", "split", "protocol", "tolerance", "lead_group", "record_group"]
KEYS = ["system", *PLACE, "target", "metric"]
COLUMNS = [
    *("system", "seed", *PLACE, "target", "metric"),
    *("value", "lo", "hi", "min", "max", "n_records", "n_seeds", "bootstrap"),
    *("trained_on", "training", "selection", "epochs", "batch_size", "parameters", "decoding"),
    *("base", "changes", "domain", "known", "known_lo", "known_hi", "source", "tag"),
]
MEASURED = [
    *("value", "lo", "hi", "min", "max", "n_records", "n_seeds", "bootstrap"),
    *("epochs", "batch_size", "parameters", "known", "known_lo", "known_hi"),
]
TWELVE = "twelve"  # lead group of what is said of the twelve leads together, each by itself
OWN, OTHER = "own", "other"


def tabulate_numbers(*, scores: list[Path], runs: Path, sources: str, table: Path) -> None:
    """Write every number of a run.

    Parameters
    ----------
    scores : list of Path
        Collected tables of frames, boundaries and the classical protocol.
    runs : Path
        What each system is (``list-runs``).
    sources : str
        JSON: for each data set the name of what it is read from. Data sets that are cut from one
        zip share records.
    table : Path
        TSV, one row for each number: the columns are ``COLUMNS``. Rates go from 0 to 1, times are
        in ms. ``value`` has a 95 % interval ``lo`` to ``hi`` where it has one; of several seeds
        only their mean stands here, with the least and the largest of the seeds as ``min`` and
        ``max``. Then what the system is, as ``runs`` says; ``domain``: ``own`` if it learnt from
        other records of the same source, ``other`` if not, empty if it learns nothing. Last the
        published number of the same place with its source and tag; published numbers of the data
        sets of this run that nothing here matches have rows of their own, without ``value``.

    Raises
    ------
    ConfigError
        If ``sources`` is not JSON.
    DataError
        If a system or a data set is not in ``runs`` or ``sources``.
    """
    try:
        origin: dict[str, str] = json.loads(sources)
    except json.JSONDecodeError as error:
        raise ConfigError(f"sources: not JSON: {error}") from error
    numbers = pd.concat([long_scores(read_tsv(path)) for path in scores], ignore_index=True)
    numbers = pd.concat([numbers, over_leads(numbers)], ignore_index=True)
    described = read_tsv(runs)
    for column, known in (("system", set(described["system"])), ("dataset", set(origin))):
        missing = sorted(set(numbers[column]) - known)
        if missing:
            raise DataError(f"{table}: nothing is said of {column} {missing[0]!r}")
    numbers = with_known(numbers, load_published())
    numbers = numbers.merge(described, on="system", how="left")
    numbers["domain"] = _domain(numbers, origin)
    in_order = {"dataset": list(origin), "system": described["system"].tolist()}
    numbers = numbers.sort_values(
        ["dataset", "split", "system"],
        key=lambda names: names.map(_places(in_order.get(str(names.name), sorted(set(names))))),
        kind="stable",
    )
    counts = ["n_records", "n_seeds", "bootstrap", "epochs", "batch_size", "parameters"]
    write_tsv(numbers[COLUMNS].astype(dict.fromkeys(counts, "Int64")), table)
    log.info(
        "%s: %d numbers, %d of them with a known one beside, and %d known ones alone",
        table,
        numbers["value"].count(),
        (numbers["value"].notna() & numbers["known"].notna()).sum(),
        numbers["value"].isna().sum(),
    )


def read_numbers(path: Path) -> pd.DataFrame:
    """Read the table of `tabulate_numbers`; all but its numbers is text, ``""`` where it is empty.

    Raises
    ------
    DataError
        If it is not such a table.
    """
    numbers = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    if list(numbers.columns) != COLUMNS:
        raise DataError(f"{path}: columns {', '.join(numbers.columns)}, not {', '.join(COLUMNS)}")
    return numbers.assign(**{name: pd.to_numeric(numbers[name]) for name in MEASURED})


def long_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Give each number of a wide table its row.

    Parameters
    ----------
    scores : DataFrame
        Keys in columns, the target as ``wave`` or ``boundary``; metrics with ``_lo`` and ``_hi``,
        and F1 with ``_min`` and ``_max``.

    Returns
    -------
    DataFrame
        Rows in the order of ``scores``, metric by metric; without numbers that there are not, and
        without single seeds where there is a mean over them.
    """
    rows = scores.rename(columns={"wave": "target", "boundary": "target"}).fillna({"seed": ""})
    scored = pd.MultiIndex.from_frame(rows[["system", "dataset", "split"]])
    is_mean = (rows["seed"] == MEAN_SEED).to_numpy()
    rows = rows[is_mean | ~scored.isin(scored[is_mean])]
    rows["tolerance"] = rows["tolerance"].fillna("") if "tolerance" in rows else ""
    kept = ["seed", *(key for key in KEYS if key != "metric"), "n_records", "n_seeds", "bootstrap"]
    parts = []
    for metric in METRICS:
        if metric in rows:
            part = rows[kept].assign(metric=metric, value=rows[metric])
            for name in ("lo", "hi", "min", "max"):
                part[name] = rows.get(f"{metric}_{name}", float("nan"))
            parts.append(part.dropna(subset="value"))
    return pd.concat(parts)


def over_leads(numbers: pd.DataFrame) -> pd.DataFrame:
    """Say how F1 differs between the twelve leads, of all records.

    Parameters
    ----------
    numbers : DataFrame
        As of `long_scores`.

    Returns
    -------
    DataFrame
        Rows of lead group ``twelve``: ``f1_sd_over_leads``, the population standard deviation, and
        ``f1_weakest_lead``, the least; where all twelve leads have an F1.
    """
    rows = numbers[(numbers["metric"] == "f1") & (numbers["record_group"] == ALL)]
    rows = rows[rows["lead_group"].isin(LEADS)]
    keys = ["seed", *(key for key in KEYS if key not in ("lead_group", "metric"))]
    groups = rows.groupby(keys, sort=False)
    found = groups.agg(
        n_leads=("value", "size"),
        f1_sd_over_leads=("value", lambda f1: f1.std(ddof=0)),
        f1_weakest_lead=("value", "min"),
        n_records=("n_records", "max"),
        n_seeds=("n_seeds", "max"),
        bootstrap=("bootstrap", "max"),
    ).reset_index()
    found = found[found["n_leads"] == len(LEADS)].drop(columns="n_leads")
    found["lead_group"] = TWELVE
    metrics = ["f1_sd_over_leads", "f1_weakest_lead"]
    others = [name for name in found if name not in metrics]
    return found.melt(others, metrics, var_name="metric", value_name="value")


def with_known(numbers: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Put published numbers beside those of the same keys, and others of their data sets below.

    Parameters
    ----------
    numbers : DataFrame
        As of `long_scores`.
    published : DataFrame
        As of `openecg.published.load_published`.

    Returns
    -------
    DataFrame
        With the columns ``known known_lo known_hi source tag``. A simulated data set has a name
        that no published one has, so none stands beside its numbers.
    """
    columns = {"value": "known", "lo": "known_lo", "hi": "known_hi"}
    here = published[published["dataset"].isin(set(numbers["dataset"]))].rename(columns=columns)
    keys = [pd.MultiIndex.from_frame(rows[KEYS]) for rows in (here, numbers)]
    beside = numbers.merge(here, on=KEYS, how="left")
    return pd.concat([beside, here[~keys[0].isin(keys[1])]], ignore_index=True)


def _places(names: list[str]) -> dict[str, int]:
    return {name: place for place, name in enumerate(names)}


def _domain(numbers: pd.DataFrame, origin: dict[str, str]) -> list[str]:
    """Tell whether a system learnt from other records of the source of a data set."""
    domain: dict[tuple[str, str], str] = {}
    pairs = numbers[["dataset", "trained_on"]].fillna("").drop_duplicates()
    for dataset, trained_on in pairs.itertuples(index=False, name=None):
        learnt = {origin.get(name, name) for name in trained_on.split()}
        domain[dataset, trained_on] = OWN if origin[dataset] in learnt else OTHER if learnt else ""
    places = zip(numbers["dataset"], numbers["trained_on"].fillna(""), strict=True)
    return [domain[place] for place in places]
