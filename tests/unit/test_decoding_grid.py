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
from tests.unit.made_up_shards import shard_rows, write_rows
from tests.unit.test_decode import PLAIN, written

LABEL_MS, N_LABELS = 20.0, 40


def probability_rows(
    shards: list[dict[str, Any]], *, seed: str = "0", spurious: bool = False
) -> list[dict[str, Any]]:
    """Be sure of what is marked in each strip, and of a P wave of 20 ms before it if spurious."""
    rows = []
    for shard in shards:
        called = np.zeros(N_LABELS, dtype=int)
        for kind, on, off in zip(shard["wave_kind"], shard["on_ms"], shard["off_ms"], strict=True):
            called[int(on // LABEL_MS) : int(off // LABEL_MS) + 1] = kind
        gap = np.flatnonzero((called[1:-1] == 0) & (called[:-2] == 0) & (called[2:] == 0)) + 1
        inside = gap[(gap * LABEL_MS > shard["span_on_ms"]) & (gap < N_LABELS - 4)]
        if spurious and inside.size:
            called[inside[0]] = 1
        keys = ("dataset", "record_id", "lead", "window")
        probabilities = (0.1 + 0.6 * np.eye(4)[called]).astype(np.float16).ravel()
        rows.append(
            {name: shard[name] for name in keys}
            | {"split": "tuning", "system": "m", "seed": seed, "fs_hz": 250.0, "offsets": None}
            | {"label_ms": LABEL_MS, "probabilities": probabilities}
        )
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
    table = grid(tmp_path, shards, probability_rows(shards))
    assert len(table) == 2 * (6 * 4 + 4)
    assert not table.duplicated(["protocol", "min_run_ms", "merge_gap_ms", "min_wave_ms"]).any()
    assert set(table["split"]) == {"tuning"}
    plain = table[(table["min_run_ms"] == 0) & (table["min_wave_ms"] == 0)]
    assert (plain[["macro_martinez", "macro_150ms"]] > 0.99).all().all()
    assert (table["macro_martinez_lo"] <= table["macro_martinez"]).all()
    assert (table["macro_martinez"] <= table["macro_martinez_hi"]).all()
    assert set(table["n_records"]) == {4}


def test_dropping_short_waves_pays_where_short_waves_are_wrong(tmp_path: Path) -> None:
    shards = shard_rows(records=4)
    table = grid(tmp_path, shards, probability_rows(shards, spurious=True))
    span = table[(table["protocol"] == "annotated_span") & (table["min_run_ms"] == 0)]
    macro = span.set_index("min_wave_ms")["macro_martinez"]
    assert macro[0] == macro[20] < macro[40]


def test_the_other_values_of_the_decoding_stay() -> None:
    base = Decoding.from_json(json.dumps(PLAIN | {"p_off_shift_ms": -22, "min_run_ms": 60}))
    found = list(cleanings(base))
    assert {how.p_off_shift_ms for how in found} == {-22}
    assert found[0].min_run_ms == found[0].min_wave_ms == 0
    assert not any(how.min_wave_ms and how.min_run_ms for how in found)


def test_seeds_are_averaged_and_an_ensemble_is_one(tmp_path: Path) -> None:
    shards = shard_rows(records=4)
    right = probability_rows(shards)
    wrong = probability_rows(shards, seed="1", spurious=True)
    both = grid(tmp_path, shards, right, wrong)
    alone = [grid(tmp_path, shards, one) for one in (right, wrong)]
    mean = (alone[0]["macro_martinez"] + alone[1]["macro_martinez"]) / 2
    np.testing.assert_allclose(both["macro_martinez"], mean, atol=1e-5)
    assert set(both["n_seeds"]) == {2}
    together = grid(tmp_path, shards, right, wrong, ensemble=True)
    assert set(together["n_seeds"]) == {1}


def test_folds_of_a_seed_belong_together(tmp_path: Path) -> None:
    shards = shard_rows(records=4)
    rows = probability_rows(shards)
    whole = grid(tmp_path, shards, rows)
    pd.testing.assert_frame_equal(grid(tmp_path, shards, rows[:4], rows[4:]), whole)


def test_probabilities_of_other_records_are_refused(tmp_path: Path) -> None:
    shards = shard_rows(records=4)
    with pytest.raises(DataError, match="record 3 lead V1"):
        grid(tmp_path, shards[:6], probability_rows(shards))
    assert not (tmp_path / "grid.tsv").exists()
