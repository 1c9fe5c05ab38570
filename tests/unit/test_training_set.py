from pathlib import Path
from typing import Any

import numpy as np
import pytest

from openecg.errors import DataError
from openecg.stage2.training_set import read_training_set, read_windows
from tests.unit.made_up_shards import N_FRAMES, N_SAMPLES, shard_rows, write_rows


def test_only_training_rows_are_read_and_scaled(tmp_path: Path) -> None:
    rows = [*shard_rows(), *shard_rows(split="validation", seed=1)]
    training_set = read_training_set([write_rows(rows, tmp_path / "a")], train_on=["made_up"])
    signal = training_set.windows.signal
    assert signal.shape == (20, N_SAMPLES)
    assert signal.dtype == np.float32
    np.testing.assert_allclose(signal.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(signal.std(axis=1), 1, atol=1e-3)
    assert training_set.labels.shape == (20, N_FRAMES)
    for row, lead, labels, fold in zip(
        rows, training_set.windows.lead_index, training_set.labels, training_set.fold, strict=False
    ):
        assert (row["lead_index"], row["fold"]) == (lead, fold)
        assert np.array_equal(row["labels"], labels)


def test_rows_keep_the_order_of_their_files(tmp_path: Path) -> None:
    rows = shard_rows()
    files = [write_rows(rows[:7], tmp_path / "b"), write_rows(rows[7:], tmp_path / "a")]
    split_up = read_training_set(files, train_on=["made_up"])
    whole = read_training_set([write_rows(rows, tmp_path / "c")], train_on=["made_up"])
    assert split_up.windows.rows.equals(whole.windows.rows)
    assert split_up.digest() == whole.digest()


@pytest.mark.parametrize("column", ["signal", "labels", "fold", "lead_index"])
def test_the_digest_sees_every_training_row_and_no_other(tmp_path: Path, column: str) -> None:
    rows = [*shard_rows(), *shard_rows(split="test", seed=1)]
    before = read_training_set([write_rows(rows, tmp_path / "a")], train_on=["made_up"]).digest()
    rows[-1][column] = rows[0][column]
    same = read_training_set([write_rows(rows, tmp_path / "b")], train_on=["made_up"]).digest()
    rows[5][column] = rows[2][column]
    other = read_training_set([write_rows(rows, tmp_path / "c")], train_on=["made_up"]).digest()
    assert before == same != other


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("signal", np.full(N_SAMPLES, np.nan), "record 2, lead V1: a sample is not finite"),
        ("signal", np.zeros(199), "record 2, lead V1: 199 values of 'signal', but 200"),
        ("labels", np.zeros(41), "record 2, lead V1: 41 values of 'labels', but 40"),
        ("labels", np.full(N_FRAMES, 7), r"record 2, lead V1: labels \[7\]; allowed: 0 to 3"),
        ("lead_index", 12, "record 2, lead V1: lead_index 12; allowed: 0 to 11"),
        ("fs_hz", 500.0, "windows of 200 samples at 250 Hz"),
        ("dataset", "other", "data set 'other' is not in train_on"),
    ],
)
def test_a_bad_row_is_named_in_one_line(
    tmp_path: Path, column: str, value: Any, words: str
) -> None:
    rows = shard_rows()
    rows[4][column] = value
    with pytest.raises(DataError, match=words) as caught:
        read_training_set([write_rows(rows, tmp_path / "a")], train_on=["made_up"])
    assert "\n" not in str(caught.value)
    # ... and is nobody's business in a row that is not read.
    rows[4]["split"] = "validation"
    read_training_set([write_rows(rows, tmp_path / "a")], train_on=["made_up"])


def test_missing_rows_are_named(tmp_path: Path) -> None:
    path = write_rows(shard_rows(split="test"), tmp_path / "a")
    with pytest.raises(DataError, match=r"no row of split 'train'; found \['test'\]"):
        read_windows([path], split="train")
    with pytest.raises(DataError, match="data set 'ludb' has no training row"):
        read_training_set([write_rows(shard_rows(), path)], train_on=["made_up", "ludb"])
