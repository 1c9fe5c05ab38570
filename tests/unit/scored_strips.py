"""Strips with known marks, and predictions of them, for the tests of scores."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from openecg.files import write_parquet
from openecg.waves import IGNORE

NAN = np.nan
TWELVE = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
Strip = dict[str, Any]


def strip(record_id: str, lead: str, split: str = "validation", window: int = 0) -> Strip:
    """One P, QRS and T, each 100 ms, marked from 1000 to 1700 ms; a second QRS lacks its end."""
    labels = np.zeros(500, dtype=np.uint8)
    for kind, first in ((1, 50), (2, 60), (3, 80)):
        labels[first : first + 5] = kind
    labels[:50] = labels[90:] = IGNORE
    return {
        "dataset": "ludb",
        "record_id": record_id,
        "lead": lead,
        "split": split,
        "window": window,
        "rhythm": "",
        "conduction": "",
        "paced": False,
        "labels": labels,
        "wave_kind": [1, 2, 3, 2],
        "on_ms": [1000.0, 1200.0, 1600.0, 1750.0],
        "peak_ms": [1050.0, 1250.0, 1650.0, 1790.0],
        "off_ms": [1100.0, 1300.0, 1700.0, NAN],
        "span_on_ms": 1000.0,
        "span_off_ms": 1750.0,
    }


def perfect(truth: Strip, **changes: Any) -> Strip:
    """Predict all that is marked in a strip."""
    keys = ("dataset", "record_id", "lead", "split", "window", "wave_kind", "on_ms", "off_ms")
    frames = np.where(truth["labels"] == IGNORE, 0, truth["labels"])
    row = {name: truth[name] for name in keys} | {"system": "F", "seed": "0", "frames": frames}
    return row | changes


def write(path: Path, rows: Iterable[Strip]) -> Path:
    kinds = {
        "labels": pa.list_(pa.uint8()),
        "frames": pa.list_(pa.uint8()),
        "wave_kind": pa.list_(pa.uint8()),
        "window": pa.int32(),
    }
    kinds |= {name: pa.list_(pa.float64()) for name in ("on_ms", "peak_ms", "off_ms")}
    rows = list(rows)
    columns = {
        name: pa.array([row[name] for row in rows], type=kinds.get(name)) for name in rows[0]
    }
    write_parquet(pa.table(columns), path)
    return path


def one(table: pd.DataFrame, **chosen: object) -> pd.Series:
    for name, value in ({"record_group": "all"} | chosen).items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


def four() -> list[Strip]:
    return [strip(r, lead) for r in ("2", "10") for lead in ("II", "V1")]
