"""Probabilities of made-up shards, with known answers."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from openecg.probabilities import PROBABILITY_SCHEMA

PLAIN: dict[str, Any] = {
    **{"leads": 0, "shifts": 1, "ensemble": False, "label_ms": 0},
    **{
        "min_run_ms": 0,
        "merge_gap_ms": 0,
        "min_wave_ms": 0,
        "min_p_share": 0,
        "p_share_of": "record",
    },
    **{"offsets": "none", "p_off_shift_ms": 0, "trim_p_sd": 0, "refine": [], "likeliest": []},
}
LABEL_MS, N_LABELS = 20.0, 40


def said(
    shards: list[dict[str, Any]],
    *,
    sure: float = 0.85,
    move: int = 0,
    seed: str = "0",
    split: str = "test",
    also: tuple[int, int, int] | None = None,
) -> list[dict[str, Any]]:
    """Call what is marked in each strip, ``move`` labels late, with one probability.

    ``also`` is a further wave: its kind, first and last label.
    """
    rows = []
    for shard in shards:
        called = np.zeros(N_LABELS, dtype=int)
        waves = zip(shard["wave_kind"], shard["on_ms"], shard["off_ms"], strict=True)
        for kind, on, off in waves:
            first, last = int(on // LABEL_MS) + move, int(off // LABEL_MS) + move
            called[max(first, 0) : last + 1] = kind
        if also is not None:
            called[also[1] : also[2] + 1] = also[0]
        rest = (1 - sure) / 3
        probabilities = (rest + (sure - rest) * np.eye(4)[called]).astype(np.float16).ravel()
        rows.append(
            {name: shard[name] for name in ("dataset", "record_id", "lead", "window")}
            | {"split": split, "system": "m", "seed": seed, "fs_hz": 250.0, "offsets": None}
            | {"native_fs_hz": 250.0}
            | {"label_ms": LABEL_MS, "probabilities": probabilities}
        )
    return rows


def written(rows: list[dict[str, Any]], path: Path) -> Path:
    table = {name: [row[name] for row in rows] for name in PROBABILITY_SCHEMA.names}
    pq.write_table(pa.table(table, schema=PROBABILITY_SCHEMA), path)
    return path
