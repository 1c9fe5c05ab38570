"""Small shards made up for the tests of stage 2."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from openecg.shards import SHARD_SCHEMA

N_SAMPLES, N_FRAMES = 200, 40
CYCLE = np.repeat([0, 1, 0, 2, 0, 3, 0, 0], [2, 3, 1, 2, 2, 4, 3, 3]).astype(np.uint8)
LEVEL_MV = np.array([0.0, 0.2, 1.5, 0.4])


def shard_rows(
    *,
    dataset: str = "made_up",
    split: str = "train",
    records: int = 10,
    leads: int = 2,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Rows of the shard schema: windows of 200 samples whose level tells the class of a frame."""
    rng = np.random.default_rng(seed)
    rows = []
    for record in range(records):
        for lead in range(leads):
            truth = np.roll(np.tile(CYCLE, 2), rng.integers(CYCLE.size))
            signal = np.repeat(LEVEL_MV[truth], N_SAMPLES // N_FRAMES)
            labels = truth.copy()
            labels[: rng.integers(1, 8)] = 255
            rows.append(
                {
                    **{"dataset": dataset, "record_id": str(record), "lead": f"V{lead + 1}"},
                    **{"lead_index": 6 + lead, "split": split, "fold": record % 5},
                    **{"rhythm": "", "conduction": "", "paced": False, "window": 0},
                    **{
                        "window_start_ms": 0.0,
                        "fs_hz": 250.0,
                        "native_fs_hz": 500.0,
                        "native_samples": 400,
                    },
                    "signal": (signal + rng.normal(0, 0.05, N_SAMPLES)).astype(np.float32),
                    "labels": labels,
                    **{"wave_kind": [], "on_ms": [], "peak_ms": [], "off_ms": []},
                    **{"span_on_ms": 0.0, "span_off_ms": 796.0},
                }
            )
    return rows


def write_rows(rows: list[dict[str, Any]], path: Path) -> Path:
    """Write rows as a shard."""
    pq.write_table(pa.Table.from_pylist(rows, schema=SHARD_SCHEMA), path)
    return path


def write_setting_file(folder: Path, **training: Any) -> Path:
    """Write the setting ``tiny`` of `setting_values`."""
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(setting_values(**training)))
    return path


def setting_values(**training: Any) -> dict[str, Any]:
    """Values of a setting that trains in a blink."""
    return {
        "train_on": ["made_up"],
        "model": {
            **{"architecture": "conv_transformer", "d_model": 8, "layers": 1, "heads": 2},
            **{"feed_forward": 16, "dropout": 0.1, "lead_embedding": True},
        },
        "training": {
            **{"epochs": 3, "patience": None, "batch_size": 4, "learning_rate": 0.01},
            **{"weight_decay": 1e-4, "warmup": 0.05, "clip": 1.0, "class_weights": True},
            **{"mask_unannotated": True, "tuning_fold": 0},
        }
        | training,
    }
