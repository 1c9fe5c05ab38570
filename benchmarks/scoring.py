"""Time of the scoring functions on as many leads as LUDB holds out, with all their resamples."""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.simulated import simulated_shard
from openecg.files import read_parquet, write_parquet
from openecg.metrics import tabulate_boundaries, tabulate_frames
from openecg.predictions import PREDICTION_SCHEMA
from openecg.scored_split import MARKS, ScoredSplit, read_scored_split
from openecg.selection import ALL

RECORDS = 41  # of 12 leads, the validation records of LUDB
BOOTSTRAP = 1000
SEEDS = (1, 3)
ROUNDS = 5
MOST_S = 2.0  # for one seed
JITTER_MS = 15.0
SHARE_MISSED = 0.05
KEYS = ("dataset", "record_id", "lead", "window")


def scoring_rows() -> tuple[list[list[str]], bool]:
    """Time the tables of frames and boundaries: all groups, protocols and tolerances.

    Returns
    -------
    rows : list of list of str
    kept : bool
        Whether one seed is scored as fast as it should be.
    """
    head = ["scoring", "seeds", "s, frames", "s, boundaries", "s, both", "s, reading", "limit"]
    rows, kept = [head], True
    with tempfile.TemporaryDirectory() as name:
        _, shard = simulated_shard(Path(name), records=RECORDS)
        predictions = [jittered(shard, Path(name), seed=seed) for seed in range(max(SEEDS))]
        for n_seeds in SEEDS:
            begin = time.process_time()
            split = read_scored_split(
                predictions[:n_seeds],
                [shard],
                found=["frames", *MARKS],
                truth=["labels", "peak_ms", "span_on_ms", "span_off_ms"],
            )
            reading = time.process_time() - begin
            spent = np.median([_seconds(split) for _ in range(ROUNDS)], axis=0)
            cells = [f"{value:.2f}" for value in (*spent, spent.sum(), reading)]
            what = f"{RECORDS} records of 12 leads, {BOOTSTRAP} resamples"
            limit = "" if n_seeds > 1 else f"both below {MOST_S:g}"
            kept &= n_seeds > 1 or bool(spent.sum() < MOST_S)
            rows.append([what, f"{n_seeds}", *cells, limit])
    return rows, kept


def jittered(shard: Path, folder: Path, *, seed: int) -> Path:
    """Write predictions that find most waves of the shard, somewhat beside the truth."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for row in read_parquet(shard, columns=[*KEYS, "labels", *MARKS]).to_pylist():
        kind = np.array(row["wave_kind"])
        kept = rng.random(kind.size) >= SHARE_MISSED
        labels = np.array(row["labels"])
        found = {name: row[name] for name in KEYS}
        found |= {"split": ALL, "system": "jittered", "seed": f"{seed}"}
        found |= {"frames": np.where(labels > 3, 0, labels), "wave_kind": kind[kept]}
        for name in ("on_ms", "off_ms"):
            found[name] = np.array(row[name])[kept] + rng.normal(0, JITTER_MS, kept.sum())
        rows.append(found)
    path = folder / f"predictions-{seed}"
    write_parquet(pa.Table.from_pylist(rows, schema=PREDICTION_SCHEMA), path)
    return path


def _seconds(split: ScoredSplit) -> tuple[float, float]:
    """Time the two tables once."""
    spent = []
    for tabulate in (tabulate_frames, tabulate_boundaries):
        begin = time.process_time()
        tabulate(split, bootstrap=BOOTSTRAP, seed=0)
        spent.append(time.process_time() - begin)
    return spent[0], spent[1]
