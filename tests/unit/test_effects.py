"""Paired comparisons on strips with known answers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from openecg.effects import COLUMNS, compare_systems
from openecg.errors import ConfigError, DataError
from openecg.files import read_tsv
from tests.unit.scored_strips import Strip, one, perfect, strip, write

PAIR = {"scope": "held_out", "system": "D", "reference": "C", "changes": "training.epochs 9"}


def strips(n_records: int = 8, **more: Any) -> list[Strip]:
    return [strip(str(r), lead, **more) for r in range(n_records) for lead in ("II", "V1")]


def lost(rows: list[Strip], *record_ids: str, **more: Any) -> list[Strip]:
    """Predict all but the P waves of some records."""
    found = []
    for row in rows:
        kept = slice(1 if row["record_id"] in record_ids else 0, None)
        names = ("wave_kind", "on_ms", "off_ms")
        found.append(perfect(row, **{name: row[name][kept] for name in names}, **more))
    return found


def compared(
    folder: Path,
    truth: list[Strip],
    *files: list[Strip],
    pairs: tuple[dict[str, str], ...] = (PAIR,),
    bootstrap: int = 200,
) -> pd.DataFrame:
    compare_systems(
        pairs=json.dumps(pairs),
        predictions=[write(folder / f"p{i}.parquet", rows) for i, rows in enumerate(files)],
        shards=[write(folder / "s.parquet", truth)],
        bootstrap=bootstrap,
        seed=0,
        table=folder / "effects.tsv",
    )
    table = read_tsv(folder / "effects.tsv")
    assert list(table.columns) == COLUMNS
    return table.assign(record_group="all")


def test_the_effect_is_the_difference_of_the_scores(tmp_path: Path) -> None:
    truth = strips()
    worse = lost(truth, "0", "1", system="C")
    table = compared(tmp_path, truth, lost(truth, system="D"), worse)
    p_on = one(table, target="P_on", metric="f1")
    assert p_on["value"] == 1
    assert p_on["effect"] == pytest.approx(1 - 2 * 12 / (2 * 12 + 4), rel=1e-5)
    assert 0 <= p_on["effect_lo"] < p_on["effect"] < p_on["effect_hi"] < 0.5
    assert one(table, target="macro")["effect"] == pytest.approx(p_on["effect"] / 3, rel=1e-5)
    assert one(table, target="QRS_on")["effect"] == 0
    assert p_on[["changes", "split", "n_records", "n_seeds"]].tolist() == [
        "training.epochs 9", "validation", 8, 1,
    ]  # fmt: skip


def test_the_same_records_are_drawn_for_both(tmp_path: Path) -> None:
    """Where both lose the same waves there is no effect in any resample, however F1 varies."""
    truth = strips()
    same = [lost(truth, "0", "1", system=system) for system in ("D", "C")]
    table = compared(tmp_path, truth, *same)
    assert (table[["effect", "effect_lo", "effect_hi"]] == 0).all().all()
    assert one(table, target="P_on", metric="f1")["value"] < 1


def test_seeds_are_averaged_on_either_side(tmp_path: Path) -> None:
    truth = strips()
    files = [
        lost(truth, system="D", seed="0"),
        lost(truth, *map(str, range(8)), system="D", seed="1"),
        lost(truth, system="C", seed="0"),
    ]
    p_on = one(compared(tmp_path, truth, *files), target="P_on", metric="f1")
    assert p_on[["value", "effect", "n_seeds", "n_seeds_reference"]].tolist() == [0.5, -0.5, 2, 1]
    assert p_on["effect_lo"] == p_on["effect_hi"] == -0.5


def test_false_p_waves_are_counted_over_the_annotated_time(tmp_path: Path) -> None:
    truth = strips()
    more = {"wave_kind": [1, 2, 3, 2, 1], "on_ms": [1000, 1200, 1600, 1750, 1400.0]}
    more["off_ms"] = [1100, 1300, 1700, np.nan, 1450.0]
    invented = [perfect(row, system="D", **more) for row in truth]
    table = compared(tmp_path, truth, invented, lost(truth, system="C"))
    row = one(table, metric="false_per_10_s")
    assert row["target"] == "P_on"
    assert row["value"] == row["effect"] == pytest.approx(10_000 / 750, rel=1e-5)


def test_only_pairs_of_the_scope_are_compared(tmp_path: Path) -> None:
    truth = strips(split="train")
    files = [lost(truth, system=system, split="tuning") for system in ("D", "C", "B")]
    pairs = (PAIR, PAIR | {"scope": "tuning", "reference": "B"})
    table = compared(tmp_path, truth, *files, pairs=pairs)
    assert table[["split", "reference"]].drop_duplicates().to_numpy().tolist() == [["tuning", "B"]]


def test_nothing_to_compare_is_a_table_without_rows(tmp_path: Path) -> None:
    truth = strips()
    assert compared(tmp_path, truth, lost(truth, system="D")).empty


def test_other_records_and_pairs_that_are_not_json_are_refused(tmp_path: Path) -> None:
    truth = strips(split="train")
    files = [lost(truth, system="D", split="tuning"), lost(truth[:8], system="C", split="tuning")]
    with pytest.raises(DataError, match=r"p0\.parquet: not of the same records as .*p1") as caught:
        compared(tmp_path, truth, *files, pairs=(PAIR | {"scope": "tuning"},))
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="pairs: not JSON"):
        compare_systems(
            pairs="D", predictions=[], shards=[], bootstrap=9, seed=0, table=tmp_path / "e.tsv"
        )
