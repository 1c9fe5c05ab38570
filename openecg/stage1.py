"""The table of openecg 0.1.0 that validates its first stage, with what was published beside it."""

import logging
from pathlib import Path

import pandas as pd

from openecg.errors import DataError
from openecg.files import read_tsv, write_tsv
from openecg.groups import ALL
from openecg.published import load_published
from openecg.tables import where

log = logging.getLogger(__name__)

GOALS_FOR = "ludb"
GOALS = Path(__file__).with_name("goals.tsv")
KEYS = ["system", "dataset", "split", "protocol", "tolerance", "metric", "feature"]
ANY = "any"  # protocol of what does not depend on marks
PACED, UNPACED, FIRST_UNPACED = "paced records", "all unpaced", "first 30 unpaced"
DETECTORS = ("coincidence_cv", "high_pass")


def tabulate_stage1(
    *, ablation: Path, frames: Path, boundaries: Path, pacing: list[Path], table: Path
) -> None:
    """Write what openecg 0.1.0 judged its first stage by, for every token stream.

    Parameters
    ----------
    ablation : Path
        Comparison of the streams (``compare-streams``).
    frames, boundaries : Path
        Collected metric tables.
    pacing : list of Path
        Comparisons of the detectors of pacemaker spikes (``score-pacing``).
    table : Path
        TSV: one row per system, data set, split, protocol, tolerance, metric and feature (the wave
        or boundary, or the group of records), over all leads. ``value`` with its 95 % interval
        ``value_lo value_hi`` where there is one; the published ``known`` value of the same place
        with its ``source`` and ``tag``; the ``goal`` that openecg 0.1.0 set itself, and whether it
        is ``met``. Metrics of streams: ``f1`` of frames, ``sensitivity`` and ``median_ms``
        (absolute error of the hits) of boundaries, ``q_loss`` and ``q_loss_events`` as in
        ``ablation``; of spike detectors: ``paced_found`` (share), ``mean_leads``,
        ``spikes_per_10_s``. Rates go from 0 to 1, times are in ms.

    Raises
    ------
    DataError
        If a stream of ``ablation`` has no scores.

    Notes
    -----
    What does not depend on marks has protocol ``any``. The goals were set for the full window of
    LUDB; they stand beside both protocols, and not beside simulated data.
    """
    streams = read_tsv(ablation)
    parts = []
    for path, feature in ((frames, "wave"), (boundaries, "boundary")):
        scores = read_tsv(path)
        scores = scores[(scores[["lead_group", "record_group"]] == ALL).all(axis=1)]
        missing = set(streams["system"]) - set(scores["system"])
        if missing:
            raise DataError(f"{path}: no row of {', '.join(sorted(missing))}, as in {ablation}")
        scores = scores[scores["system"].isin(streams["system"])]
        metrics = ["f1"] if feature == "wave" else ["sensitivity", "median_ms"]
        scores = scores.rename(columns={feature: "feature"})
        parts += [_long(scores, metric, metric) for metric in metrics]
    losses = streams.drop_duplicates(["system", "dataset", "split"])
    losses = losses.assign(protocol=ANY, feature="Q")
    parts += [_long(losses, metric, metric) for metric in ("q_loss", "q_loss_events")]
    parts += [rows for path in pacing for rows in _pacing_rows(read_tsv(path))]
    rows = pd.concat(parts, ignore_index=True).fillna({"tolerance": ""})
    rows = rows[rows["value"].notna()]
    known = load_published().rename(columns={"value": "known", "target": "feature"})
    known = where(known, lead_group=ALL, record_group=ALL)[[*KEYS, "known", "source", "tag"]]
    rows = with_goals(rows.merge(known, on=KEYS, how="left"))
    rows = rows.sort_values(["dataset", "split", "system"], kind="stable")
    write_tsv(rows, table)
    log.info("%s: %d rows, %d with a known value", table, len(rows), rows["known"].count())


def with_goals(rows: pd.DataFrame) -> pd.DataFrame:
    """Say beside each value what the goal was, and whether it is met.

    Parameters
    ----------
    rows : DataFrame
        ``dataset metric feature tolerance value``.

    Returns
    -------
    DataFrame
        Also ``goal`` (such as ``at least 0.8``), empty where there is none, ``met`` and
        ``goal_source``.
    """
    goals = read_tsv(GOALS).fillna({"tolerance": ""})
    rows = rows.merge(
        goals.drop(columns="tag"),
        on=["metric", "feature", "tolerance"],
        how="left",
        suffixes=("", "_of_goal"),
    )
    apply = rows["goal"].notna() & (rows["dataset"] == GOALS_FOR)
    met = {
        "at least": rows["value"] >= rows["goal"],
        "at most": rows["value"] <= rows["goal"],
        "below": rows["value"] < rows["goal"],
    }
    text = rows["sense"] + rows["goal"].map(" {:g}".format)
    rows["met"] = pd.Series(pd.NA, index=rows.index, dtype="boolean")
    for sense, reached in met.items():
        rows.loc[apply & (rows["sense"] == sense), "met"] = reached
    rows["goal"] = text.where(apply)
    rows["goal_source"] = rows.pop("source_of_goal").where(apply)
    return rows.drop(columns="sense")


def _pacing_rows(table: pd.DataFrame) -> list[pd.DataFrame]:
    """Take the figures of the spike detectors, from all leads at the rate of the data set."""
    own = table[(table["leads"] == ALL) & table["detector"].isin(DETECTORS)]
    own = own[own["fs_hz"] == own["fs_hz"].max()]
    own = own.rename(columns={"detector": "system"}).assign(protocol=ANY, split=ALL)
    own["n_records"] = own["n_paced"] + own["n_unpaced"]
    everyone, first = (own[own["group"] == group] for group in (ALL, FIRST_UNPACED))
    return [
        _long(everyone.assign(feature=PACED), "paced_found", "sensitivity"),
        _long(everyone.assign(feature=PACED), "mean_leads", "mean_leads"),
        _long(first.assign(feature=FIRST_UNPACED), "spikes_per_10_s", "spikes_per_10_s"),
        _long(everyone.assign(feature=UNPACED), "spikes_per_10_s", "spikes_per_10_s"),
    ]


def _long(scores: pd.DataFrame, metric: str, column: str) -> pd.DataFrame:
    """Take one metric of a wide table, with its interval where it has one."""
    rows = scores.assign(metric=metric).reindex(columns=KEYS)
    for name, end in (("value", ""), ("value_lo", "_lo"), ("value_hi", "_hi")):
        rows[name] = scores[column + end] if column + end in scores else float("nan")
    rows["n_records"] = scores["n_records"]
    return rows
