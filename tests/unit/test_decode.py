import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from openecg.errors import ConfigError, DataError
from openecg.files import read_parquet
from openecg.predictions import PREDICTION_SCHEMA
from openecg.stage2.decode import Probabilities, coarser, decode, joined
from openecg.stage2.decoding import Decoding, resolve_decoding
from tests.unit.made_up_probabilities import PLAIN, written
from tests.unit.made_up_shards import shard_rows, write_rows

SURE = 4.0 * np.eye(4)
CALLED = np.repeat([0, 1, 0, 2, 0, 3, 0], [20, 25, 10, 20, 25, 45, 55])  # labels of 4 ms


def rows_of(called: np.ndarray = CALLED, *, leads: int = 2, **more: Any) -> list[dict[str, Any]]:
    """Windows of 200 labels of 4 ms in which each class is called with probability 0.7."""
    probabilities = (0.1 + 0.6 * np.eye(4)[called]).astype(np.float16).ravel()
    row = {
        **{"dataset": "made_up", "record_id": "0", "window": 0, "split": "test", "system": "m"},
        **{"seed": "0", "fs_hz": 250.0, "label_ms": 4.0, "probabilities": probabilities},
        "offsets": None,
        "native_fs_hz": 250.0,
    }
    return [row | {"lead": f"V{lead + 1}"} | more for lead in range(leads)]


def decoded(tmp_path: Path, *files: list[dict[str, Any]], **how: Any) -> list[dict[str, Any]]:
    paths = [written(rows, tmp_path / f"{i}.parquet") for i, rows in enumerate(files)]
    decode(
        probabilities=paths,
        shards=[write_rows(shard_rows(records=2, split="test"), tmp_path / "shard.parquet")],
        decoding=json.dumps(PLAIN | how),
        frame_ms=20,
        system="m+how",
        seed="7",
        predictions=tmp_path / "predictions.parquet",
    )
    table = read_parquet(tmp_path / "predictions.parquet")
    assert table.schema.equals(PREDICTION_SCHEMA)
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def test_each_run_of_the_most_probable_class_is_a_wave(tmp_path: Path) -> None:
    rows = decoded(tmp_path, rows_of())
    assert [(row["lead"], row["system"], row["seed"], row["split"]) for row in rows] == [
        ("V1", "m+how", "7", "test"),
        ("V2", "m+how", "7", "test"),
    ]
    for row in rows:
        assert row["wave_kind"] == [1, 2, 3]
        assert row["on_ms"] == [80, 220, 400]
        assert row["off_ms"] == [176, 296, 576]
        assert row["frames"] == np.repeat([0, 1, 0, 2, 0, 3, 0], [4, 5, 2, 4, 5, 9, 11]).tolist()


def test_a_wave_is_as_probable_as_the_most_probable_of_its_labels(tmp_path: Path) -> None:
    rows = rows_of()
    called = np.array(rows[0]["probabilities"]).reshape(-1, 4)
    called[24:26] = [0.05, 0.85, 0.05, 0.05]  # 2 of the 25 labels of the P wave
    rows[0]["probabilities"] = called.ravel()
    found = decoded(tmp_path, rows)
    assert found[0]["wave_probability"] == pytest.approx([0.85, 0.7, 0.7], abs=1e-3)
    assert found[1]["wave_probability"] == pytest.approx([0.7, 0.7, 0.7], abs=1e-3)


def test_a_wave_of_one_label_that_is_shorter_than_a_sample_has_its_probability(
    tmp_path: Path,
) -> None:
    called = np.where(np.arange(200) == 100, 1, 0)
    found = decoded(tmp_path, rows_of(called, leads=1, native_fs_hz=100.0))
    assert found[0]["wave_probability"] == pytest.approx([0.7], abs=1e-3)


def test_the_mean_over_files_is_decoded(tmp_path: Path) -> None:
    other = np.zeros_like(CALLED)
    unsure = rows_of(other)
    for row in unsure:
        row["probabilities"] = np.full(800, 0.25, dtype=np.float16)
    assert decoded(tmp_path, rows_of(), unsure)[0]["wave_kind"] == [1, 2, 3]
    three = decoded(tmp_path, rows_of(), rows_of(other), rows_of(other))
    assert three[0]["wave_kind"] == []


@pytest.mark.parametrize(
    ("how", "column", "wanted"),
    [
        ({"min_wave_ms": 90}, "wave_kind", [1, 3]),
        ({"min_run_ms": 44}, "on_ms", [80, 180, 400]),  # the short gap joins the P wave
        ({"p_off_shift_ms": -24}, "off_ms", [152, 296, 576]),
        ({"likeliest": ["P"]}, "on_ms", [48, 220, 400]),  # a tenth is left at the start
    ],
)
def test_each_option_reaches_its_step(
    tmp_path: Path, how: dict[str, Any], column: str, wanted: list[float]
) -> None:
    found = decoded(tmp_path, rows_of(), **how)[0]
    if "min_run_ms" in how:
        assert found["off_ms"][0] == 216
        return
    assert found[column] == wanted


def test_labels_are_joined_by_their_mean_probability() -> None:
    classes = np.zeros((1, 11, 4), dtype=np.float32)
    classes[0, :3, 1], classes[0, 3:5, 2], classes[0, 5:, 3] = 0.4, 1.0, 0.7
    offsets = np.arange(66, dtype=np.float32).reshape(1, 11, 6)
    windows = Probabilities(
        Path("p.parquet"), pd.DataFrame(index=[0]), 4.0, 250.0, classes, offsets
    )
    found = joined(windows, 20.0)
    assert found.label_ms == 20
    np.testing.assert_allclose(found.classes[0], [[0, 0.24, 0.4, 0], [0, 0, 0, 0.7]], rtol=1e-6)
    np.testing.assert_array_equal(found.offsets[0], offsets[0, [0, 5]])
    with pytest.raises(DataError, match="labels of 4 ms do not fill labels of 10 ms"):
        joined(windows, 10.0)


def test_waves_end_with_the_last_sample_of_their_record(tmp_path: Path) -> None:
    rows = [*rows_of(leads=1), *rows_of(leads=1, record_id="9", native_fs_hz=1000.0)]
    found = decoded(tmp_path, rows)
    assert found[0]["off_ms"] == [176, 296, 576]
    assert found[1]["off_ms"] == [179, 299, 579]
    assert found[0]["on_ms"] == found[1]["on_ms"]


def test_rare_p_waves_are_dropped_by_record_or_by_lead(tmp_path: Path) -> None:
    bare = np.where(CALLED == 1, 0, CALLED)
    rows = [*rows_of(), *rows_of(bare, leads=1, record_id="9")]
    rows[1]["probabilities"] = rows_of(bare)[0]["probabilities"]

    def kinds(**how: Any) -> list[list[int]]:
        return [row["wave_kind"] for row in decoded(tmp_path, rows, **how)]

    assert kinds() == [[1, 2, 3], [2, 3], [2, 3]]
    assert kinds(min_p_share=0.5) == kinds()  # one of two beats of record 0
    assert kinds(min_p_share=0.6) == [[2, 3]] * 3
    assert kinds(min_p_share=0.6, p_share_of="lead") == kinds()


def test_options_that_look_at_signals_or_offsets_change_boundaries(tmp_path: Path) -> None:
    plain = decoded(tmp_path, rows_of())[0]
    for how in ({"trim_p_sd": 50.0}, {"refine": ["QRS"]}):
        found = decoded(tmp_path, rows_of(), **how)[0]
        assert (found["on_ms"], found["off_ms"]) != (plain["on_ms"], plain["off_ms"])
    ahead = np.full((200, 6), 2.0, dtype=np.float16).ravel()
    moved = decoded(tmp_path, rows_of(offsets=ahead), offsets="corrected")[0]
    assert moved["on_ms"] == [on + 8 for on in plain["on_ms"]]


@pytest.mark.parametrize(
    ("files", "how", "words"),
    [
        ([rows_of()], {"offsets": "corrected"}, "no offsets; decoding 'm.how' needs them"),
        (
            [rows_of(), rows_of(leads=1)],
            {},
            "lead V2 window 0 is there 1 times, others up to 2",
        ),
        ([rows_of(), rows_of(label_ms=20.0)], {}, "labels or rates differ"),
        ([rows_of(label_ms=3.0)], {}, "labels of 3 ms do not fill frames of 20 ms"),
        ([rows_of(record_id="lost")], {"refine": ["P"]}, "lost"),
    ],
)
def test_what_does_not_fit_is_one_line(
    tmp_path: Path, files: list[list[dict[str, Any]]], how: dict[str, Any], words: str
) -> None:
    with pytest.raises(DataError, match=words) as caught:
        decoded(tmp_path, *files, **how)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "predictions.parquet").exists()


def test_frames_take_the_most_frequent_label_and_ties_the_smallest_class() -> None:
    labels = np.array([0, 0, 1, 1, 1, 2, 2, 3, 3, 0, 9], dtype=np.uint8)
    assert coarser(labels, 5).tolist() == [1, 2]
    assert coarser(labels[:9], 1).tolist() == labels[:9].tolist()


def test_an_entry_lies_over_plain() -> None:
    decodings = {"plain": PLAIN, "mine": {"refine": ["T"]}}
    assert resolve_decoding(decodings, "mine") == PLAIN | {"refine": ["T"]}
    with pytest.raises(ConfigError, match="no 'other'; known: mine, plain"):
        resolve_decoding(decodings, "other")
    decodings |= {"upon": {"base": "mine", "leads": 2}, "mine": {"base": "upon"}}
    with pytest.raises(ConfigError, match=r"decodings.mine.base: a circle, mine -> upon -> mine"):
        resolve_decoding(decodings, "mine")
    decodings["mine"] = {"refine": ["T"]}
    assert resolve_decoding(decodings, "upon") == PLAIN | {"refine": ["T"], "leads": 2}
    with pytest.raises(ConfigError, match="refine: 'T' is not"):
        Decoding.from_json(json.dumps(PLAIN | {"refine": "T"}))


@pytest.mark.parametrize(
    "also",
    [
        {"refine": ["T"]},
        {"min_run_ms": 60},
        {"p_off_shift_ms": -22},
        {"trim_p_sd": 2},
        {"offsets": "corrected"},
    ],
)
def test_boundaries_are_not_put_in_two_ways(also: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"likeliest .*and {next(iter(also))} "):
        Decoding.from_json(json.dumps(PLAIN | {"likeliest": ["P"]} | also))
    Decoding.from_json(json.dumps(PLAIN | also))
