from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from openecg.errors import ConfigError, DataError
from openecg.files import read_parquet
from openecg.probabilities import PROBABILITY_SCHEMA
from openecg.stage2.checkpoint import Origin, save_checkpoint
from openecg.stage2.engine import build_model
from openecg.stage2.predict import predict
from tests.unit.made_up_shards import (
    N_FRAMES,
    N_SAMPLES,
    TRANSFORMER,
    UNET,
    setting_values,
    shard_rows,
    write_rows,
)


def saved(
    folder: Path, *, scheme: str = "held_out", model: dict[str, Any] = TRANSFORMER, **training: Any
) -> Path:
    path = folder / "model.safetensors"
    origin = Origin(
        **{"name": "tiny", "setting": setting_values(model=model, **training), "scheme": scheme},
        **{
            "seed": 3,
            "code": "c",
            "data": "d",
            "fs_hz": 250.0,
            "n_samples": N_SAMPLES,
            "precision": "float32",
            "buffer": 0,
        },
    )
    torch.manual_seed(0)
    save_checkpoint(build_model(origin.setting["model"]).state_dict(), origin, path)
    return path


def predicted(
    folder: Path, model: Path, *rows: list[dict[str, Any]], leads: int = 0, shifts: int = 1
) -> list[dict[str, Any]]:
    shards = [write_rows(some, folder / f"{i}.parquet") for i, some in enumerate(rows)]
    path = folder / "probabilities.parquet"
    predict(model=model, shards=shards, leads=leads, shifts=shifts, threads=1, probabilities=path)
    table = read_parquet(path)
    assert table.schema.equals(PROBABILITY_SCHEMA)
    found: list[dict[str, Any]] = table.to_pylist()
    return found


def test_each_held_out_row_is_predicted_in_its_order(tmp_path: Path) -> None:
    test = shard_rows(split="test", records=40)  # more than one batch
    test[17]["native_fs_hz"] = 1000.0
    model = saved(tmp_path)
    rows = predicted(tmp_path, model, [*test[:11], *shard_rows(seed=1)], test[11:])
    keys = ("dataset", "record_id", "lead", "window", "split")
    assert [[row[k] for k in keys] for row in rows] == [[row[k] for k in keys] for row in test]
    assert {(row["system"], row["seed"], row["label_ms"]) for row in rows} == {("tiny", "3", 20.0)}
    for row, own in zip(rows, test, strict=True):
        assert row["native_fs_hz"] == own["native_fs_hz"]
        assert row["offsets"] is None
        probabilities = np.array(row["probabilities"]).reshape(N_FRAMES, 4)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=2e-3)
    before = (tmp_path / "probabilities.parquet").read_bytes()
    predicted(tmp_path, model, [*test[:11], *shard_rows(seed=1)], test[11:])
    assert (tmp_path / "probabilities.parquet").read_bytes() == before


@pytest.mark.parametrize(
    ("scheme", "split", "records"),
    [("tuning2", "tuning", {"2", "7"}), ("all2", "all", {"2", "7", "102"})],
)
def test_a_model_predicts_the_records_that_it_did_not_learn_from(
    tmp_path: Path, scheme: str, split: str, records: set[str]
) -> None:
    held_out = shard_rows(split="test", records=5)
    for row in held_out:
        row["record_id"] = f"10{row['record_id']}"
    rows = predicted(tmp_path, saved(tmp_path, scheme=scheme), [*shard_rows(), *held_out])
    assert {row["record_id"] for row in rows} == records
    assert {row["split"] for row in rows} == {split}


def test_what_experts_marked_does_not_reach_the_predictions(tmp_path: Path) -> None:
    rows = shard_rows(split="test", records=2)
    model = saved(tmp_path)
    before = predicted(tmp_path, model, rows)
    for row in rows:
        row |= {"labels": [200], "span_on_ms": -5.0, "wave_kind": [9]}
    assert predicted(tmp_path, model, rows) == before


def test_leads_see_each_other_as_asked(tmp_path: Path) -> None:
    model = saved(tmp_path, model=UNET, leads="any")
    rows = shard_rows(split="test", records=2, leads=3)
    together = predicted(tmp_path, model, rows)
    assert len(together[0]["offsets"]) == 6 * N_SAMPLES
    alone = predicted(tmp_path, model, rows, leads=1)
    assert together != alone
    rows[0]["signal"] = rows[0]["signal"][::-1]
    changed = predicted(tmp_path, model, rows)
    assert [a != b for a, b in zip(together, changed, strict=True)] == [True] * 3 + [False] * 3
    changed = predicted(tmp_path, model, rows, leads=1)
    assert [a != b for a, b in zip(alone, changed, strict=True)] == [True] + [False] * 5
    with pytest.raises(ConfigError, match=r"leads 4: the records of .* have 3 at most"):
        predicted(tmp_path, model, rows, leads=4)


@pytest.mark.parametrize(
    ("split", "fs_hz", "words"),
    [
        ("train", 250.0, r"no row of the wanted records; found splits \['train'\]"),
        ("test", 500.0, "windows of 200 samples at 500 Hz; .*model.safetensors takes 200 at 250"),
    ],
)
def test_what_does_not_fit_the_model_is_one_line(
    tmp_path: Path, split: str, fs_hz: float, words: str
) -> None:
    rows = [row | {"fs_hz": fs_hz} for row in shard_rows(split=split, records=1)]
    with pytest.raises(DataError, match=words) as caught:
        predicted(tmp_path, saved(tmp_path), rows)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "probabilities.parquet").exists()
