"""How a step divides its records into blocks does not change what it writes."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from openecg import blocks as blocks_module
from openecg import classical, metrics, scored_split
from openecg.effects import compare_systems
from openecg.stage2 import calibration, decode, decoding_grid, predict, training_set
from openecg.stage2.decoding import Decoding
from openecg.waves import KINDS
from tests.unit.made_up_shards import TRANSFORMER, UNET, shard_rows, write_rows
from tests.unit.test_predict import saved

pytestmark = pytest.mark.usefixtures("torch_as_it_was")
N_PARTS = 4


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    """Write records of two leads and two windows, in parts whose ids are not in their order."""
    rows = []
    for record in range(4 * N_PARTS):
        for lead in range(2):
            for window in range(2):
                (row,) = shard_rows(records=1, leads=1, split="test", seed=97 * record + window)
                row |= {"record_id": str(7 * record), "lead": f"V{lead + 1}", "window": window}
                row |= {"lead_index": 6 + lead, "rhythm": "Sinus rhythm" if record % 3 else "x"}
                rows.append(row)
    size = len(rows) // N_PARTS
    return [
        write_rows(rows[i * size : (i + 1) * size], tmp_path / f"{i}.parquet", row_group_size=6)
        for i in range(N_PARTS)
    ]


def small_blocks(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    few = functools.partial(blocks_module.blocks, rows=rows)
    for module in (metrics, scored_split, decode):
        monkeypatch.setattr(module, "blocks", few)
    for module in (predict, training_set):
        monkeypatch.setattr(module, "BLOCK_ROWS", rows)


def everything(folder: Path, shards: list[Path], model: Path) -> dict[str, bytes]:
    """Predict, decode and score in all ways."""
    folder.mkdir()
    probabilities = folder / "probabilities.parquet"
    predict.predict(
        model=model, shards=shards, leads=0, shifts=1, threads=1, probabilities=probabilities
    )
    plain: dict[str, Any] = {
        "leads": 0,
        "shifts": 1,
        "ensemble": False,
        "label_ms": 0,
        "min_run_ms": 0,
    }
    plain |= {"merge_gap_ms": 0, "min_wave_ms": 0, "min_p_share": 0.3, "p_share_of": "record"}
    plain |= {
        "offsets": "none",
        "p_off_shift_ms": 0,
        "trim_p_sd": 2,
        "refine": ["QRS"],
        "likeliest": [],
    }
    Decoding.from_json(json.dumps(plain))
    files = []
    for seed in ("0", "1"):
        path = folder / f"seed{seed}.parquet"
        decode.decode(
            probabilities=[probabilities],
            shards=shards,
            decoding=json.dumps(plain | {"trim_p_sd": 0.5 + int(seed)}),
            frame_ms=20.0,
            system="m",
            seed=seed,
            predictions=path,
        )
        files.append(path)
    scored: dict[str, Callable[..., None]] = {
        "frames": metrics.score_frames,
        "boundaries": metrics.score_boundaries,
        "classical": classical.score_classical,
    }
    chance = {"bootstrap": 20, "seed": 0}
    for name, score in scored.items():
        score(predictions=files, shards=shards, table=folder / f"{name}.tsv", **chance)
    plain |= {"trim_p_sd": 0, "refine": [], "likeliest": ["T"]}
    of_model = {"decoding": json.dumps(plain), "system": "m", "shards": shards, **chance}
    calibration.calibrate(
        probabilities=[probabilities], table=folder / "calibration.tsv", **of_model
    )
    decoding_grid.score_decoding_grid(
        probabilities=[probabilities], frame_ms=20.0, table=folder / "grid.tsv", **of_model
    )
    pairs = [{"scope": "held_out", "system": "m", "reference": "m", "changes": ""}]
    compare_systems(
        pairs=json.dumps(pairs),
        predictions=files,
        shards=shards,
        table=folder / "effects.tsv",
        **chance,
    )
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("leads", ["one", "any"])
def test_blocks_of_any_size_give_the_same_bytes(
    tmp_path: Path, shards: list[Path], monkeypatch: pytest.MonkeyPatch, leads: str
) -> None:
    monkeypatch.setattr(decoding_grid, "MIN_RUN_MS", (40,))
    monkeypatch.setattr(decoding_grid, "MERGE_GAP_MS", (100,))
    network = TRANSFORMER if leads == "one" else UNET
    model = saved(tmp_path, model=network, leads=leads)
    whole = everything(tmp_path / "whole", shards, model)
    assert len(whole) == 9
    for rows in (1, 7):
        small_blocks(monkeypatch, rows)
        assert everything(tmp_path / f"blocks-{rows}", shards, model) == whole


def test_the_rows_of_a_split_come_once_and_in_order(shards: list[Path], tmp_path: Path) -> None:
    model = saved(tmp_path)
    everything(tmp_path / "out", shards, model)
    predictions = [tmp_path / "out" / "seed0.parquet"]
    split = scored_split.read_scored_split(predictions, shards, found=["frames"], truth=["labels"])
    keys = ["record_id", "lead", "window"]
    assert split.strips[keys].equals(split.strips[keys].sort_values(keys).reset_index(drop=True))
    rows, seen = [], []
    for part in split.parts():
        rows.append(part.rows)
        for table in (part.truth, *part.found):
            own = table.select(keys).to_pandas()
            assert own.equals(split.strips.loc[part.rows, keys].reset_index(drop=True))
        seen.append(part.true_frames())
    assert np.array_equal(np.sort(np.concatenate(rows)), np.arange(len(split.strips)))
    truth = pd.concat([pd.read_parquet(path) for path in shards])
    counted = np.bincount(np.concatenate(seen).ravel(), minlength=256)
    assert np.array_equal(
        counted, np.bincount(np.concatenate(truth["labels"].tolist()), minlength=256)
    )
    assert counted[list(KINDS)].all()
