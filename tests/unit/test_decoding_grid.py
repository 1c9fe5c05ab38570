"""The grid of cleanings on probabilities with known answers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from openecg.errors import DataError
from openecg.files import read_tsv
from openecg.stage2.decoding import Decoding
from openecg.stage2.decoding_grid import COLUMNS, cleanings, score_decoding_grid
from tests.unit.made_up_probabilities import LABEL_MS, PLAIN, said, written
from tests.unit.made_up_shards import shard_rows, write_rows


def with_a_spurious_p(shards: list[dict[str, Any]], *, seed: str = "0") -> list[dict[str, Any]]:
    """Call what is marked, and a P wave of one label inside the span where there is room."""
    rows = []
    for shard, row in zip(shards, said(shards, split="tuning", seed=seed), strict=True):
        probabilities = row["probabilities"].reshape(-1, 4).copy()
        other = probabilities.argmax(axis=1) == 0
        room = np.flatnonzero(other[1:-1] & other[:-2] & other[2:]) + 1
        inside = room[(room * LABEL_MS > shard["span_on_ms"]) & (room < other.size - 4)]
        if inside.size:
            probabilities[inside[0]] = np.roll(probabilities[inside[0]], 1)
        rows.append(row | {"probabilities": probabilities.ravel()})
    return rows


def grid(
    folder: Path, shards: list[dict[str, Any]], *files: list[dict[str, Any]], **how: Any
) -> pd.DataFrame:
    score_decoding_grid(
        probabilities=[written(rows, folder / f"{i}.parquet") for i, rows in enumerate(files)],
        shards=[write_rows(shards, folder / "shard.parquet")],
        decoding=json.dumps(PLAIN | how),
        frame_ms=20,
        system="m",
        bootstrap=20,
        seed=0,
        table=folder / "grid.tsv",
    )
    table = read_tsv(folder / "grid.tsv")
    assert list(table.columns) == COLUMNS
    return table


def test_every_cleaning_is_scored_by_both_protocols(tmp_path: Path) -> None:
    shards = shard_rows(records=4)
    table = grid(tmp_path, shards, said(shards, split="tuning"))
    assert len(table) == 2 * (6 * 4 + 4 + 8)
    names = ["min_run_ms", "merge_gap_ms", "min_wave_ms", "min_p_share"]
    assert not table.duplicated(["protocol", *names]).any()
    assert set(table["split"]) == {"tuning"}
    plain = table[(table["min_run_ms"] == 0) & (table["min_wave_ms"] == 0)]
    plain = plain[plain["min_p_share"] <= 0.5]  # not every beat has a P
    assert (plain[["macro_martinez", "macro_150ms"]] > 0.99).all().all()
    assert (table["macro_martinez_lo"] <= table["macro_martinez"]).all()
    assert (table["macro_martinez"] <= table["macro_martinez_hi"]).all()
    assert set(table["n_records"]) == {4}


def test_dropping_short_waves_pays_where_short_waves_are_wrong(tmp_path: Path) -> None:
    shards = shard_rows(records=4)
    table = grid(tmp_path, shards, with_a_spurious_p(shards))
    span = table[(table["protocol"] == "annotated_span") & (table["min_run_ms"] == 0)]
    span = span[span["min_p_share"] == 0]
    macro = span.set_index("min_wave_ms")["macro_martinez"]
    assert macro[0] == macro[20] < macro[40]


def test_the_other_values_of_the_decoding_stay() -> None:
    base = Decoding.from_json(json.dumps(PLAIN | {"label_ms": 40, "likeliest": ["P"]}))
    found = list(cleanings(base))
    assert all(how.likeliest == ([] if how.min_run_ms else ["P"]) for how in found)
    assert {how.label_ms for how in found} == {40}
    assert found[0].min_run_ms == found[0].min_wave_ms == 0
    assert not any(how.min_wave_ms and how.min_run_ms for how in found)


def test_seeds_are_averaged_and_an_ensemble_is_one(tmp_path: Path) -> None:
    shards = shard_rows(records=4)
    right = said(shards, split="tuning")
    wrong = with_a_spurious_p(shards, seed="1")
    both = grid(tmp_path, shards, right, wrong)
    alone = [grid(tmp_path, shards, one) for one in (right, wrong)]
    mean = (alone[0]["macro_martinez"] + alone[1]["macro_martinez"]) / 2
    np.testing.assert_allclose(both["macro_martinez"], mean, atol=1e-5)
    assert set(both["n_seeds"]) == {2}
    together = grid(tmp_path, shards, right, wrong, ensemble=True)
    assert set(together["n_seeds"]) == {1}


def test_folds_of_a_seed_belong_together(tmp_path: Path) -> None:
    shards = shard_rows(records=4)
    rows = said(shards, split="tuning")
    whole = grid(tmp_path, shards, rows)
    pd.testing.assert_frame_equal(grid(tmp_path, shards, rows[:4], rows[4:]), whole)


def test_probabilities_of_other_records_are_refused(tmp_path: Path) -> None:
    shards = shard_rows(records=4)
    with pytest.raises(DataError, match="record 3 lead V1"):
        grid(tmp_path, shards[:6], said(shards, split="tuning"))
    assert not (tmp_path / "grid.tsv").exists()
