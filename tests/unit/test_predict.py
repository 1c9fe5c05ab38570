from pathlib import Path

import numpy as np
import pytest
import torch

from openecg.errors import DataError
from openecg.files import read_parquet
from openecg.predictions import PREDICTION_SCHEMA
from openecg.stage2.checkpoint import Origin, save_checkpoint
from openecg.stage2.engine import build_model
from openecg.stage2.postprocess import frames_to_waves
from openecg.stage2.predict import predict
from tests.unit.made_up_shards import N_FRAMES, N_SAMPLES, setting_values, shard_rows, write_rows


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    origin = Origin(
        **{"name": "tiny", "setting": setting_values(), "seed": 3, "code": "c", "data": "d"},
        **{"fs_hz": 250.0, "n_samples": N_SAMPLES, "n_frames": N_FRAMES},
    )
    torch.manual_seed(0)
    network = build_model(origin.setting["model"])
    network.head.weight.data *= 20  # so that all classes are called
    save_checkpoint(network.state_dict(), origin, path)
    return path


def test_each_row_of_the_split_is_predicted_in_its_order(tmp_path: Path, model: Path) -> None:
    test = shard_rows(split="test", records=40)  # more than one batch
    shards = [
        write_rows([*test[:11], *shard_rows(seed=1)], tmp_path / "a"),
        write_rows(test[11:], tmp_path / "b"),
    ]
    written = tmp_path / "predictions.parquet"
    predict(model=model, shards=shards, split="test", threads=1, predictions=written)
    table = read_parquet(written)
    assert table.schema.equals(PREDICTION_SCHEMA)
    rows = table.to_pylist()
    keys = ("dataset", "record_id", "lead", "window", "split")
    assert [[row[k] for k in keys] for row in rows] == [[row[k] for k in keys] for row in test]
    assert {(row["system"], row["seed"]) for row in rows} == {("tiny", "3")}
    frames = np.array([row["frames"] for row in rows], dtype=np.uint8)
    assert frames.shape == (80, N_FRAMES)
    assert len(np.unique(frames)) > 2
    for row, called in zip(rows, frames, strict=True):
        kind, on_ms, off_ms = frames_to_waves(called, frame_ms=20, fs_hz=250)
        assert (row["wave_kind"], row["on_ms"], row["off_ms"]) == (
            *(kind.tolist(), on_ms.tolist(), off_ms.tolist()),
        )
    before = written.read_bytes()
    predict(model=model, shards=shards, split="test", threads=1, predictions=written)
    assert written.read_bytes() == before


def test_labels_do_not_reach_the_predictions(tmp_path: Path, model: Path) -> None:
    rows = shard_rows(split="test", records=2)
    outputs = []
    for name in ("a", "b"):
        shard = write_rows(rows, tmp_path / name)
        written = tmp_path / f"{name}.parquet"
        predict(model=model, shards=[shard], split="test", threads=1, predictions=written)
        outputs.append(written.read_bytes())
        for row in rows:
            row |= {"labels": [200], "span_on_ms": -5.0, "wave_kind": [9]}
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize(
    ("split", "fs_hz", "words"),
    [
        ("validation", 250.0, r"no row of split 'validation'; found \['test'\]"),
        ("test", 500.0, "windows of 200 samples at 500 Hz; .*model.safetensors takes 200 at 250"),
    ],
)
def test_what_does_not_fit_the_model_is_one_line(
    tmp_path: Path, model: Path, split: str, fs_hz: float, words: str
) -> None:
    rows = [row | {"fs_hz": fs_hz} for row in shard_rows(split="test", records=1)]
    shard, written = write_rows(rows, tmp_path / "a"), tmp_path / "predictions.parquet"
    with pytest.raises(DataError, match=words) as caught:
        predict(model=model, shards=[shard], split=split, threads=1, predictions=written)
    assert "\n" not in str(caught.value)
    assert not written.exists()
