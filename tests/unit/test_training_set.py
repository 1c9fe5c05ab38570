from pathlib import Path
from typing import Any

import numpy as np
import pytest

from openecg.errors import DataError
from openecg.stage2.engine import label_edges
from openecg.stage2.targets import label_targets
from openecg.stage2.training_set import lead_groups, read_training_set, read_windows
from tests.unit.made_up_shards import N_FRAMES, N_SAMPLES, shard_rows, write_rows


def test_only_training_rows_are_read_and_scaled(tmp_path: Path) -> None:
    rows = [*shard_rows(), *shard_rows(split="validation", seed=1)]
    training_set = read_training_set(
        [write_rows(rows, tmp_path / "a")], train_on=["made_up"], scheme="held_out"
    )
    signal = training_set.windows.signal
    assert signal.shape == (20, N_SAMPLES)
    assert signal.dtype == np.float32
    np.testing.assert_allclose(signal.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(signal.std(axis=1), 1, atol=1e-3)
    edges = label_edges(N_SAMPLES, 5, fs_hz=250.0).expand(20, -1)
    labels = label_targets(training_set.marks, edges, masked=True).numpy()
    assert labels.shape == (20, N_FRAMES)
    leads = training_set.windows.lead_index
    for row, lead, label, fold in zip(rows, leads, labels, training_set.fold, strict=False):
        assert (row["lead_index"], row["fold"]) == (lead, fold)
        assert np.array_equal(row["labels"], label)


def test_rows_keep_the_order_of_their_files(tmp_path: Path) -> None:
    rows = shard_rows()
    files = [write_rows(rows[:7], tmp_path / "b"), write_rows(rows[7:], tmp_path / "a")]
    split_up = read_training_set(files, train_on=["made_up"], scheme="held_out")
    whole = read_training_set(
        [write_rows(rows, tmp_path / "c")], train_on=["made_up"], scheme="held_out"
    )
    assert split_up.windows.rows.equals(whole.windows.rows)
    assert split_up.digest() == whole.digest()


@pytest.mark.parametrize("column", ["signal", "on_ms", "fold", "lead_index"])
def test_the_digest_sees_every_training_row_and_no_other(tmp_path: Path, column: str) -> None:
    rows = [*shard_rows(), *shard_rows(split="test", seed=1)]
    before = read_training_set(
        [write_rows(rows, tmp_path / "a")], train_on=["made_up"], scheme="held_out"
    ).digest()
    names = ["wave_kind", "on_ms", "peak_ms", "off_ms"] if column == "on_ms" else [column]
    for name in names:
        rows[-1][name] = rows[0][name]
    same = read_training_set(
        [write_rows(rows, tmp_path / "b")], train_on=["made_up"], scheme="held_out"
    ).digest()
    for name in names:
        rows[5][name] = rows[2][name]
    other = read_training_set(
        [write_rows(rows, tmp_path / "c")], train_on=["made_up"], scheme="held_out"
    ).digest()
    assert before == same != other


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("signal", np.full(N_SAMPLES, np.nan), "record 2, lead V1: a sample is not finite"),
        ("signal", np.zeros(199), "record 2, lead V1: 199 values of 'signal', but 200"),
        ("wave_kind", [9] * 6, "record 2, lead V1: wave kind 9 is none of 1, 2, 3"),
        ("on_ms", [0.0], "record 2, lead V1: wave_kind, on_ms, .* of one length, got 6, 1, 6, 6"),
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
        read_training_set(
            [write_rows(rows, tmp_path / "a")], train_on=["made_up"], scheme="held_out"
        )
    assert "\n" not in str(caught.value)
    # ... and is nobody's business in a row that is not read.
    rows[4]["split"] = "validation"
    read_training_set([write_rows(rows, tmp_path / "a")], train_on=["made_up"], scheme="held_out")


def test_missing_rows_are_named(tmp_path: Path) -> None:
    path = write_rows(shard_rows(split="test"), tmp_path / "a")
    with pytest.raises(DataError, match=r"no row of the wanted records; found splits \['test'\]"):
        read_windows([path], select=lambda split, fold: split == "train")
    with pytest.raises(DataError, match="data set 'ludb' has no training row"):
        read_training_set(
            [write_rows(shard_rows(), path)], train_on=["made_up", "ludb"], scheme="held_out"
        )


def test_leads_of_a_record_and_window_are_grouped_and_repeated(tmp_path: Path) -> None:
    rows = [*shard_rows(records=2, leads=3), *shard_rows(records=1, leads=2, dataset="other")]
    rows[1]["window"] = 7
    windows = read_windows([write_rows(rows, tmp_path / "a")], select=lambda s, _: s == "train")
    assert lead_groups(windows.rows).tolist() == [[0, 2, 0], [1, 1, 1], [3, 4, 5], [6, 7, 6]]


def test_no_p_mark_in_a_rhythm_of_the_sinus_node_is_none_looked_for(tmp_path: Path) -> None:
    rhythms = ["Sinus rhythm", "Irregular sinus rhythm", "Atrial fibrillation", ""]
    rows = shard_rows(records=8, leads=1)
    for i, row in enumerate(rows):
        row["rhythm"] = rhythms[i % 4]
        if i < 4:
            keep = row["wave_kind"] != 1
            row |= {name: row[name][keep] for name in ("wave_kind", "on_ms", "peak_ms", "off_ms")}
    read = read_training_set(
        [write_rows(rows, tmp_path / "a")], train_on=["made_up"], scheme="held_out"
    )
    assert read.marks.p_unmarked.tolist() == [True, True, *[False] * 6]
