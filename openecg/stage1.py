"""The table of openecg 0.1.0 that validates its first stage, with what was published beside it."""

import logging
from pathlib import Path

import pandas as pd

from openecg.errors import DataError
from openecg.files import read_tsv, write_tsv
from openecg.groups import ALL
from openecg.published import load_published

log = logging.getLogger(__name__)

KEYS = ["system", "dataset", "split", "protocol", "tolerance", "metric", "target"]


def tabulate_stage1(*, ablation: Path, frames: Path, boundaries: Path, table: Path) -> None:
    """Write boundary sensitivity and median error, Q-loss and frame F1 of every token stream.

    Parameters
    ----------
    ablation : Path
        Comparison of the streams (``compare-streams``).
    frames, boundaries : Path
        Collected metric tables.
    table : Path
        TSV: one row per stream, data set, split, protocol, tolerance, metric and target, over all
        leads: ``value`` with its 95 % interval where there is one, and the published ``known``
        value of the same place with its ``source`` and ``tag``. Metrics are ``f1`` of frames,
        ``sensitivity`` and ``median_ms`` (absolute error of the hits) of boundaries, and
        ``q_loss``. Rates go from 0 to 1, times are in ms.

    Raises
    ------
    DataError
        If a stream of ``ablation`` has no scores.

    Notes
    -----
    Q-loss does not depend on marks, so its rows have protocol ``any``.
    """
    streams = read_tsv(ablation)
    parts = []
    for path, target in ((frames, "wave"), (boundaries, "boundary")):
        scores = read_tsv(path)
        scores = scores[(scores[["lead_group", "record_group"]] == ALL).all(axis=1)]
        missing = set(streams["system"]) - set(scores["system"])
        if missing:
            raise DataError(f"{path}: no row of {', '.join(sorted(missing))}, as in {ablation}")
        scores = scores[scores["system"].isin(streams["system"])]
        metrics = ["f1"] if target == "wave" else ["sensitivity", "median_ms"]
        parts += [_long(scores.rename(columns={target: "target"}), metric) for metric in metrics]
    losses = streams.drop_duplicates(["system", "dataset", "split"]).assign(
        protocol="any", target="Q"
    )
    parts.append(_long(losses, "q_loss"))
    rows = pd.concat(parts, ignore_index=True).fillna({"tolerance": ""})
    rows = rows[rows["value"].notna()]
    known = load_published().rename(columns={"value": "known"})
    known = known[known["lead_group"] == "all"][[*KEYS, "known", "source", "tag"]]
    rows = rows.merge(known, on=KEYS, how="left")
    rows = rows.sort_values(KEYS[1:3] + KEYS[:1], kind="stable")
    write_tsv(rows, table)
    log.info("%s: %d rows, %d with a known value", table, len(rows), rows["known"].count())


def _long(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Take one metric of a wide table, with its interval where it has one."""
    rows = scores.assign(metric=metric).reindex(columns=KEYS)
    for column, name in (("value", metric), ("lo", f"{metric}_lo"), ("hi", f"{metric}_hi")):
        rows[column] = scores[name] if name in scores else float("nan")
    rows["n_records"] = scores["n_records"]
    return rows
