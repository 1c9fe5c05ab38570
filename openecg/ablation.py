"""One row per token stream: how well, how often and how fast it delineates."""

import logging
from collections import Counter
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from openecg.cells import FORCED
from openecg.errors import DataError
from openecg.files import read_parquet, read_tsv, write_tsv
from openecg.groups import ALL
from openecg.selection import ALL as EVERY_RECORD
from openecg.tables import where
from openecg.vocab import ID_Q, ID_TO_CHAR
from openecg.waves import BOUNDARIES

log = logging.getLogger(__name__)

PLACE = ["dataset", "split"]
WAVES = ("P", "QRS", "T", "mean_wave")
WAYS = ["stream", "method", "pacer", "grid"]
SUMMED = ("n_q_peaks", "n_q_lost", "n_q_events")
READ = [*PLACE, *WAYS, "compact", "n_q_peaks", "n_q_lost", "error"]


def compare_streams(
    *, frames: Path, boundaries: Path, tokens: list[Path], timings: list[Path], table: Path
) -> None:
    """Compare the token streams on the split that is scored.

    Parameters
    ----------
    frames, boundaries : Path
        Collected metric tables, which hold a system ``nk_<stream>`` for each stream.
    tokens : list of Path
        All parts of all streams and data sets (``write-tokens``).
    timings : list of Path
        For each data set what its streams cost (``time-streams``).
    table : Path
        TSV: one row per data set, split, stream and protocol. ``f1_*`` are of frames of all leads,
        with the interval of their mean; ``martinez_*`` and ``150ms_*`` are F1 of boundaries;
        ``q_loss`` is the share of NeuroKit's Q peaks whose beat has no ``q`` in the stream;
        ``q_loss_events``, of streams on the grid of the reference system only, is one minus ``q``
        events per Q peak: its formula, by which a Q that a spike cuts in two counts twice;
        ``n_failed`` counts streams that are one ``?``, and ``failures`` says why; times are in ms
        per lead.

    Raises
    ------
    DataError
        If no stream was scored, or a scored one has no tokens or no timing.
    """
    counted = _count_tokens(tokens)
    cost = pd.concat([read_tsv(path) for path in timings]) if timings else pd.DataFrame()
    frame_scores, boundary_scores = read_tsv(frames), read_tsv(boundaries)
    kept = frame_scores["system"].isin("nk_" + counted["stream"])
    rows = []
    for (dataset, split, system, protocol), scores in frame_scores[
        kept & (frame_scores[["lead_group", "record_group"]] == ALL).all(axis=1)
    ].groupby([*PLACE, "system", "protocol"], sort=False):
        place = {"dataset": dataset, "split": split}
        stream = str(system).removeprefix("nk_")
        own_boundaries = where(
            boundary_scores,
            **place,
            system=system,
            protocol=protocol,
            lead_group=ALL,
            record_group=ALL,
        )
        rows.append(
            place
            | {"system": system, "protocol": protocol}
            | _one(counted, tokens, **place, stream=stream)
            | _frame_columns(scores)
            | _boundary_columns(own_boundaries)
            | _one(cost, timings, dataset=dataset, stream=stream)
        )
    if not rows:
        raise DataError(f"{frames}: no system of the streams {sorted(set(counted['stream']))}")
    compared = pd.DataFrame(rows).drop(columns="stream")
    write_tsv(compared, table)
    log.info("%s: %d rows of %d streams", table, len(rows), compared["system"].nunique())


def _count_tokens(paths: list[Path]) -> pd.DataFrame:
    """Count leads, failures and Q waves of each stream in each data set and split."""
    if not paths:
        raise DataError("no token streams to compare; at least one is needed")
    q = ID_TO_CHAR[ID_Q]
    sums: dict[tuple[str, ...], Counter[str]] = {}  # by place and way, in the order of the files
    failures: dict[tuple[str, ...], Counter[str]] = {}
    for path in paths:
        tokens = read_parquet(path, columns=READ)
        n_q_events = pc.count_substring(tokens["compact"], pattern=q)
        tokens = tokens.append_column("n_q_events", n_q_events.cast(pa.int64()))
        rows = tokens.drop_columns("compact").to_pandas()
        for key, own in rows.groupby([*PLACE, *WAYS], sort=False):
            sums.setdefault(key, Counter()).update(
                {name: int(own[name].sum()) for name in SUMMED} | {"n_streams": len(own)}
            )
            failures.setdefault(key, Counter()).update(own["error"].dropna())
    at = PLACE.index("split")
    for key in list(sums):
        every = (*key[:at], EVERY_RECORD, *key[at + 1 :])
        for counts in (sums, failures):
            counts.setdefault(every, Counter()).update(counts[key])
    counted: list[dict[str, object]] = []
    for key, own_sums in sums.items():
        reasons, n_q_peaks = failures[key], own_sums["n_q_peaks"]
        way = dict(zip([*PLACE, *WAYS], key, strict=True))
        n_q_events = own_sums["n_q_events"] if way["grid"] == FORCED else None
        counted.append(
            way
            | {
                "n_streams": own_sums["n_streams"],
                "n_failed": reasons.total(),
                "failures": "; ".join(f"{n} x {why}" for why, n in sorted(reasons.items())),
                "n_q_peaks": n_q_peaks,
                "n_q_lost": own_sums["n_q_lost"],
                "q_loss": own_sums["n_q_lost"] / n_q_peaks if n_q_peaks else None,
                "q_loss_events": 1 - n_q_events / n_q_peaks if n_q_events and n_q_peaks else None,
            }
        )
    return pd.DataFrame(counted)


def _frame_columns(scores: pd.DataFrame) -> dict[str, object]:
    """Lay frame F1 of the waves side by side, with the interval of their mean."""
    f1 = scores.set_index("wave")
    columns: dict[str, object] = {"n_records": int(scores["n_records"].iloc[0])}
    columns |= {f"f1_{wave}": f1.loc[wave, "f1"] for wave in WAVES}
    return columns | {
        f"f1_mean_wave_{end}": f1.loc["mean_wave", f"f1_{end}"] for end in ("lo", "hi")
    }


def _boundary_columns(scores: pd.DataFrame) -> dict[str, object]:
    """Lay boundary F1 side by side, with the interval of the macro F1 at Martinez tolerances."""
    columns: dict[str, object] = {}
    for tolerance, own in scores.groupby("tolerance", sort=False):
        f1 = own.set_index("boundary")
        columns[f"{tolerance}_macro"] = f1.loc["macro", "f1"]
        for end in ("lo", "hi"):
            columns[f"{tolerance}_macro_{end}"] = f1.loc["macro", f"f1_{end}"]
        columns |= {f"{tolerance}_{name}": f1.loc[name, "f1"] for name in BOUNDARIES}
    return columns


def _one(rows: pd.DataFrame, paths: list[Path], **wanted: object) -> dict[str, object]:
    """Return the one row with these values, as a mapping."""
    found = where(rows, **wanted) if len(rows) else rows
    if len(found) != 1:
        named = ", ".join(f"{name} {value}" for name, value in wanted.items())
        raise DataError(
            f"{len(paths)} files, first {paths[0] if paths else 'none'}: {len(found)} rows of "
            f"{named}; one is needed"
        )
    row: dict[str, object] = {str(name): value for name, value in found.iloc[0].items()}
    return row
