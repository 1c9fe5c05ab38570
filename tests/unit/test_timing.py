import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from openecg.errors import ConfigError
from openecg.files import read_tsv
from openecg.records import SCHEMA
from openecg.stage2 import timing
from openecg.stage2.checkpoint import Origin, save_checkpoint
from openecg.stage2.engine import build_model
from openecg.stage2.timing import time_in_turns, time_models
from tests.unit.made_up_probabilities import PLAIN
from tests.unit.made_up_shards import TRANSFORMER, UNET, setting_values


def saved(path: Path, name: str, model: dict[str, Any], **training: Any) -> Path:
    origin = Origin(
        **{"name": name, "setting": setting_values(model=model, **training), "scheme": "held_out"},
        **{
            "seed": 0,
            "code": "c",
            "data": "d",
            "fs_hz": 250.0,
            "n_samples": 2500,
            "precision": "float32",
            "buffer": 0,
        },
    )
    save_checkpoint(build_model(model).state_dict(), origin, path / name)
    return path / name


def records(path: Path, *, n_leads: int = 2) -> Path:
    rng = np.random.default_rng(0)
    row = dict.fromkeys(SCHEMA.names)
    rows = [
        row | {"record_id": "1", "fs_hz": 500.0, "signal": rng.normal(size=5000)}
        for _ in range(n_leads)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path)
    return path


def test_each_model_and_each_way_of_seeing_leads_is_timed_beside_neurokit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed: list[list[str]] = []
    monkeypatch.setattr(
        timing, "place_waves", lambda windows, signal, how, *rest: placed.append(how.likeliest)
    )
    models = [
        saved(tmp_path, "small", TRANSFORMER),
        saved(tmp_path, "any", UNET, leads="any"),
    ]
    threads = torch.get_num_threads()
    time_models(
        models=models,
        decodings=json.dumps([PLAIN | {"likeliest": ["P"]}, PLAIN | {"min_p_share": 0.5}]),
        records=records(tmp_path / "records"),
        dataset="made_up",
        leads=1,
        table=tmp_path / "t.tsv",
    )
    assert torch.get_num_threads() == threads
    assert placed.count(["P"]) * 2 == placed.count([]) > 0  # one way of seeing leads, and two
    table = read_tsv(tmp_path / "t.tsv")
    assert list(zip(table["system"], table["leads"], strict=True)) == [
        *(("nk_dwt", 1), ("nk_prominence", 1), ("small", 1), ("any", 0), ("any", 1))
    ]
    assert (table["n_timed"] == 2).all()
    assert (table["ms_per_lead"] > 0).all()
    shares = table["ms_per_lead"] / table["ms_per_lead"].iloc[0]
    np.testing.assert_allclose(table["share_of_nk_dwt"], shares, rtol=1e-4)
    assert table["parameters"].isna().tolist() == [True, True, False, False, False]
    bad: list[tuple[int, str, str]] = [
        (0, "[]", "leads must be 1 or more"),
        (1, json.dumps([PLAIN]), "1 decodings, but 0 models"),
    ]
    for leads, decodings, message in bad:
        with pytest.raises(ConfigError, match=message):
            time_models(
                models=[],
                decodings=decodings,
                records=tmp_path / "records",
                dataset="x",
                leads=leads,
                table=tmp_path / "t",
            )


def test_all_work_on_a_strip_before_the_next_and_nobody_is_always_first() -> None:
    order: list[tuple[str, int]] = []
    works = [lambda strip, name=name: order.append((name, int(strip[0, 0]))) for name in "ab"]
    spent = time_in_turns(works, [np.full((1, 1), float(i)) for i in range(3)])
    assert spent.shape == (2, 4)
    timed = order[2:]
    assert [strip for _, strip in timed] == [i // 2 % 3 for i in range(24)]
    first = [name for name, _ in timed[::2]]
    assert first.count("a") == first.count("b") == 6
