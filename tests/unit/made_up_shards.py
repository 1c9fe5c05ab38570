"""Small shards made up for the tests of stage 2."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from openecg.shards import SHARD_SCHEMA
from openecg.waves import labels_from_ms

N_SAMPLES, N_FRAMES = 200, 40
CYCLE = np.repeat([0, 1, 0, 2, 0, 3, 0, 0], [2, 3, 1, 2, 2, 4, 3, 3]).astype(np.uint8)
TRANSFORMER = {
    **{"architecture": "conv_transformer", "d_model": 8, "layers": 1, "heads": 2},
    **{"feed_forward": 16, "dropout": 0.1, "lead_embedding": True},
}
UNET = {
    **{"architecture": "unet", "channels": [4, 8], "kernel": 5, "dropout": 0.1, "exchange": True},
    **{"attention_layers": 1, "heads": 2, "offsets": True},
}
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
            waves = runs(truth, first=int(rng.integers(0, 3)))
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
                    **marked(waves),
                }
            )
    return rows


def runs(truth: npt.NDArray[np.uint8], *, first: int) -> list[tuple[int, float, float]]:
    """Kind, on and off in ms of each wave of frame labels, but for some at the beginning."""
    starts = np.flatnonzero(np.diff(truth, prepend=255))
    ends = [*starts[1:], truth.size]
    waves = [(int(truth[a]), a * 20.0, b * 20.0 - 2) for a, b in zip(starts, ends, strict=True)]
    return [wave for wave in waves if wave[0]][first:]


def marked(waves: Sequence[tuple[int, float, float]]) -> dict[str, Any]:
    """Columns of a shard that follow from waves."""
    kind = np.array([wave[0] for wave in waves], dtype=np.uint8)
    on, off = (np.array([wave[i] for wave in waves]) for i in (1, 2))
    marks = {"wave_kind": kind, "on_ms": on, "peak_ms": on, "off_ms": off}
    labels = labels_from_ms(
        *marks.values(),
        **{"native_fs_hz": 500.0, "native_samples": 400, "frame_ms": 20.0},
        **{"n_frames": N_FRAMES, "masked": True},
    )
    return {**marks, "labels": labels, "span_on_ms": min(on), "span_off_ms": max(off)}


def write_rows(
    rows: list[dict[str, Any]], path: Path, *, row_group_size: int | None = None
) -> Path:
    """Write rows as a shard."""
    table = pa.Table.from_pylist(rows, schema=SHARD_SCHEMA)
    pq.write_table(table, path, row_group_size=row_group_size)
    return path


def write_setting_file(folder: Path, **training: Any) -> Path:
    """Write the setting ``tiny`` of `setting_values`."""
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(setting_values(**training)))
    return path


def setting_values(
    *,
    model: dict[str, Any] = TRANSFORMER,
    augmentation: dict[str, Any] | None = None,
    **training: Any,
) -> dict[str, Any]:
    """Values of a setting that trains in a blink."""
    return {
        "train_on": ["made_up"],
        "model": model,
        "training": {
            **{"epochs": 3, "patience": None, "keep": "best", "batch_size": 4, "leads": "one"},
            **{"learning_rate": 0.01, "weight_decay": 1e-4, "warmup": 0.05, "clip": 1.0},
            **{"average": None, "class_weights": True, "focal_gamma": 0.0, "soft_labels": []},
            **{"offset_weight": 0.0, "touch_weight": 0.0, "mask_unannotated": True},
            "tuning_fold": 0,
        }
        | training,
        "augmentation": {
            **{
                "operations": 0,
                "amplitude": 0.0,
                "noise": 0.0,
                "wander": 0.0,
                "spikes": 0.0,
                "p_waves": 0.0,
            },
            **{"shift_ms": 0.0, "time_scale": [1.0, 1.0], "mask_edges_s": 0.0},
        }
        | (augmentation or {}),
    }
