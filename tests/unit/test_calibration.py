"""Calibration of probabilities with known answers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from openecg.errors import ConfigError, DataError
from openecg.files import read_tsv
from openecg.stage2.calibration import COLUMNS, calibrate, calibration_error
from tests.unit.made_up_probabilities import LABEL_MS, PLAIN, said, written
from tests.unit.made_up_shards import shard_rows, write_rows
from tests.unit.scored_strips import one


def calibrated(
    folder: Path, shards: list[dict[str, Any]], *files: list[dict[str, Any]], **how: Any
) -> pd.DataFrame:
    calibrate(
        probabilities=[written(rows, folder / f"{i}.parquet") for i, rows in enumerate(files)],
        shards=[write_rows(shards, folder / "shard.parquet")],
        decoding=json.dumps(PLAIN | how),
        system="m",
        bootstrap=20,
        seed=0,
        table=folder / "calibration.tsv",
    )
    table = read_tsv(folder / "calibration.tsv")
    assert list(table.columns) == COLUMNS
    return table.assign(record_group="all")


def test_labels_that_are_always_right_are_called_with_too_little_certainty(tmp_path: Path) -> None:
    shards = shard_rows(records=4)
    table = calibrated(tmp_path, shards, said(shards))
    n_of_p = sum((np.asarray(row["labels"]) == 1).sum() for row in shards)
    n_known = sum((np.asarray(row["labels"]) != 255).sum() for row in shards)
    high = one(table, level="label", target="P", bin="0.8-0.9")
    assert high[["n", "observed"]].tolist() == [n_of_p, 1]
    assert high["probability"] == pytest.approx(0.85, abs=1e-3)
    low = one(table, level="label", target="P", bin="0.0-0.1")
    assert low[["n", "observed"]].tolist() == [n_known - n_of_p, 0]
    every = one(table, level="label", target="P", bin="all")
    expected = (n_of_p * 0.15 + (n_known - n_of_p) * 0.05) / n_known
    assert every["error"] == pytest.approx(expected, abs=1e-3)
    assert every["error_lo"] <= every["error"] <= every["error_hi"]
    assert every["n"] == n_known
    middle = table[(table["level"] == "label") & (table["bin"] == "0.4-0.5")]
    assert (middle["n"] == 0).all()
    assert middle["observed"].isna().all()


def test_a_wave_without_a_label_has_no_share_of_labels(tmp_path: Path) -> None:
    shards = shard_rows(records=4)
    called = said(shards)
    for row in shards:  # as in QTDB, where T waves lack their onset
        on_ms = np.asarray(row["on_ms"], dtype=float)
        row["on_ms"] = np.where(np.asarray(row["wave_kind"]) == 3, np.nan, on_ms).tolist()
    table = calibrated(tmp_path, shards, called)
    labels = table[table["level"] == "label"].set_index(["target", "bin"])
    assert np.isnan(labels.loc[("T", "all"), "error"])
    assert labels.loc["T"]["observed"].isna().all()
    assert labels.loc[("P", "all"), "error"] > 0


def test_late_waves_are_there_but_not_in_place(tmp_path: Path) -> None:
    shards = shard_rows(records=4)
    right = calibrated(tmp_path, shards, said(shards))
    late = calibrated(tmp_path, shards, said(shards, move=1))
    later = calibrated(tmp_path, shards, said(shards, move=3))
    for code, target in enumerate(("P", "QRS", "T"), start=1):
        here = {"level": "wave", "target": target, "bin": "all"}
        assert one(right, **here)["in_place_share"] == one(late, **here)["in_place_share"] == 1
        assert one(later, **here)["in_place_share"] == 0
        for table in (right, late):
            assert one(table, **here)[["observed", "false_share"]].tolist() == [1, 0]
        there = one(later, **here)
        assert there["observed"] == pytest.approx(1 - there["false_share"])
        assert (there["observed"] > 0) == (target == "T")  # the only one longer than 60 ms
        n_marked = sum((np.asarray(row["wave_kind"]) == code).sum() for row in shards)
        assert one(right, **here)["n"] == n_marked
    high = one(right, level="wave", target="T", bin="0.8-0.9")
    assert high["probability"] == pytest.approx(0.85, abs=1e-3)


def test_a_wave_that_overlaps_none_of_its_kind_is_invented(tmp_path: Path) -> None:
    shards = shard_rows(records=4)
    for row in shards:
        row["wave_kind"] = np.where(np.asarray(row["wave_kind"]) == 1, 3, row["wave_kind"])
    kinds = [row | {"wave_kind": shard["wave_kind"]} for row, shard in zip(
        shard_rows(records=4), shards, strict=True)]  # fmt: skip
    table = calibrated(tmp_path, kinds, said(shard_rows(records=4)))
    p_waves = one(table, level="wave", target="P", bin="all")
    assert p_waves[["observed", "false_share", "in_place_share"]].tolist() == [0, 1, 0]
    assert one(table, level="wave", target="QRS", bin="all")["false_share"] == 0


def test_p_waves_that_nobody_marked_do_not_count(tmp_path: Path) -> None:
    called = said(shard_rows(records=4))
    for rhythm, counts in (("Sinus rhythm", False), ("Atrial fibrillation", True)):
        shards = shard_rows(records=4)
        for row in shards:
            row["rhythm"] = rhythm
            row["wave_kind"] = np.where(np.asarray(row["wave_kind"]) == 1, 3, row["wave_kind"])
        table = calibrated(tmp_path, shards, called)
        for level in ("label", "wave"):
            assert (one(table, level=level, target="P", bin="all")["n"] > 0) == counts
            assert one(table, level=level, target="QRS", bin="all")["n"] > 0


def test_what_is_not_annotated_does_not_count(tmp_path: Path) -> None:
    shards = shard_rows(records=4)
    plain = calibrated(tmp_path, shards, said(shards))
    outside = min(int(row["span_on_ms"] // LABEL_MS) for row in shards)
    assert outside >= 1
    more = calibrated(tmp_path, shards, said(shards, also=(1, 0, outside - 1)))
    pd.testing.assert_frame_equal(plain, more)


def test_an_end_that_is_not_marked_agrees_with_any(tmp_path: Path) -> None:
    shards = shard_rows(records=4)
    truth = [
        row | {"off_ms": np.where(np.asarray(row["wave_kind"]) == 3, np.nan, row["off_ms"])}
        for row in shards
    ]
    table = calibrated(tmp_path, truth, said(shards))
    waves = one(table, level="wave", target="T", bin="all")
    assert waves[["observed", "false_share", "in_place_share"]].tolist() == [1, 0, 1]


def test_seeds_are_pooled_and_an_ensemble_is_their_mean(tmp_path: Path) -> None:
    shards = shard_rows(records=4)
    files = said(shards, sure=0.85), said(shards, sure=0.65, seed="1")
    pooled = calibrated(tmp_path, shards, *files)
    for name in ("0.8-0.9", "0.6-0.7"):
        assert one(pooled, level="wave", target="QRS", bin=name)["n"] > 0
    assert set(pooled["n_seeds"]) == {2}
    together = calibrated(tmp_path, shards, *files, ensemble=True)
    assert one(together, level="wave", target="QRS", bin="0.7-0.8")["n"] > 0
    assert one(together, level="wave", target="QRS", bin="0.8-0.9")["n"] == 0
    assert set(together["n_seeds"]) == {1}


@pytest.mark.parametrize("how", [{"trim_p_sd": 2}, {"refine": ["QRS"]}])
def test_a_decoding_that_looks_at_the_signal_is_refused(
    tmp_path: Path, how: dict[str, Any]
) -> None:
    shards = shard_rows(records=4)
    with pytest.raises(ConfigError, match="decoding of 'm': trim_p_sd and refine"):
        calibrated(tmp_path, shards, said(shards), **how)


def test_windows_without_a_shard_are_refused(tmp_path: Path) -> None:
    shards = shard_rows(records=4)
    with pytest.raises(DataError, match="is predicted, but not in the shards") as caught:
        calibrated(tmp_path, shards[:6], said(shards))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "calibration.tsv").exists()


def test_the_error_is_weighted_by_the_cases_of_the_bins() -> None:
    tally = np.array([[8.0, 2.0, 0.0], [2.0, 1.8, 2.0], [0.0, 0.0, 0.0]])
    assert calibration_error(tally) == pytest.approx((2.0 + 0.2) / 10)
    assert np.isnan(calibration_error(np.zeros((3, 4))))
