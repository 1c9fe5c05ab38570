import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from openecg import vocab
from openecg.baseline import PREDICTION_SCHEMA, predict_tokens, settle_spikes, waves_of_events
from openecg.codec import Event, encode
from openecg.errors import DataError
from openecg.tokens import TOKEN_SCHEMA

BEAT: list[Event] = [
    (vocab.ID_ISO, 200),
    (vocab.ID_P, 80),
    (vocab.ID_ISO, 80),
    (vocab.ID_Q, 20),
    (vocab.ID_R, 40),
    (vocab.ID_S, 40),
    (vocab.ID_ISO, 120),
    (vocab.ID_T, 200),
    (vocab.ID_ISO, 220),
]


def row(**changes: Any) -> dict[str, Any]:
    return {
        "dataset": "ludb",
        "record_id": "1",
        "lead": "II",
        "split": "val",
        "window": 0,
        "window_start_ms": 0.0,
        "stream": "dwt",
        "grid": "nearest",
        "fs_hz": 500.0,
        "native_samples": 500,
        "words": encode(BEAT),
    } | changes


def run(folder: Path, *parts: list[dict[str, Any]], scope: str = "held_out") -> list[Any]:
    paths = []
    for i, rows in enumerate(parts):
        paths.append(folder / f"part-{i:03d}.parquet")
        pq.write_table(pa.Table.from_pylist(rows, schema=TOKEN_SCHEMA), paths[-1])
    out = folder / "predictions.parquet"
    predict_tokens(tokens=paths, scope=scope, frame_ms=20.0, n_frames=55, predictions=out)
    table = pq.read_table(out)
    assert table.schema.equals(PREDICTION_SCHEMA)
    return list(table.to_pylist())


@pytest.mark.parametrize("fs_hz", [250.0, 360.0, 500.0, 1000.0])
def test_waves_end_on_their_last_sample(fs_hz: float) -> None:
    kind, on, off = waves_of_events(BEAT, n_samples=round(fs_hz), fs_hz=fs_hz)
    assert kind.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(on, np.rint(np.array([200, 360, 580]) * fs_hz / 1000))
    np.testing.assert_array_equal(off, np.rint(np.array([280, 460, 780]) * fs_hz / 1000) - 1)


def test_waves_of_odd_streams() -> None:
    def waves(text: str, n_samples: int = 99) -> list[tuple[int, ...]]:
        events = [(vocab.CHAR_TO_ID[char], 4.0) for char in text]
        found = waves_of_events(events, n_samples=n_samples, fs_hz=250)
        return list(zip(*(part.tolist() for part in found), strict=True))

    assert waves("") == []
    assert waves("?") == []
    assert waves("pqrst") == [(1, 0, 0), (2, 1, 3), (3, 4, 4)]
    assert waves("_w") == [(2, 1, 1)]
    assert waves("r*r") == [(2, 0, 0), (2, 2, 2)]
    assert waves("_ttttpp", n_samples=3) == [(3, 1, 2)]


@pytest.mark.parametrize(
    ("text", "settled"),
    [
        ("_q*r_", "__rr_"),  # a QRS starts at the spike in it, at the last of several
        ("_r*r*s_", "____ss_"),
        ("_w*w_p", "__ww_p"),
        ("_t*t_p*p_", "_ttt_ppp_"),  # P and T go on
        ("_*qr_", "__qr_"),  # before a wave, between two, alone, at an end
        ("_p*q_", "_p_q_"),
        ("_*_", "___"),
        ("*r*", "_r_"),
        ("*", "_"),
        ("", ""),
        ("_ptt_", "_ptt_"),
    ],
)
def test_spikes_start_waves_and_do_not_cut_them(text: str, settled: str) -> None:
    events = [(vocab.CHAR_TO_ID[char], 4.0 + i) for i, char in enumerate(text)]
    found = settle_spikes(events)
    assert "".join(vocab.ID_TO_CHAR[symbol] for symbol, _ in found) == settled
    assert [ms for _, ms in found] == [ms for _, ms in events]


@pytest.mark.parametrize(("grid", "on_ms"), [("nearest", [260]), ("forced", [200, 264])])
def test_spikes_cut_waves_the_way_of_the_reference_only(
    tmp_path: Path, grid: str, on_ms: list[float]
) -> None:
    cut: list[Event] = [(2, 200), (6, 60), (3, 4), (6, 56), (2, 680)]
    (found,) = run(tmp_path, [row(grid=grid, words=encode(cut))])
    assert found["on_ms"] == on_ms
    assert found["off_ms"][-1] == 318
    assert found["frames"][10:16] == (
        [0, 0, 0, 2, 2, 2] if grid == "nearest" else [2, 2, 2, 0, 2, 2]
    )


def test_rows_of_the_split_become_predictions(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train = row(split="train", record_id="2")
    failed = row(record_id="3", words=encode([(vocab.ID_UNK, 1000)]), n_beats=0, error="none")
    with caplog.at_level(logging.INFO):
        first, second = run(tmp_path, [row(window=4), train], [failed])
    assert "2 rows, held_out, by nk_dwt, 3 waves" in caplog.text
    assert (first["system"], first["seed"], first["window"]) == ("nk_dwt", "", 4)
    expected = [0] * 10 + [1] * 4 + [0] * 4 + [2] * 5 + [0] * 6 + [3] * 10 + [0] * 16
    assert first["frames"] == expected
    assert first["wave_kind"] == [1, 2, 3]
    assert first["on_ms"] == [200, 360, 580]
    assert first["off_ms"] == [278, 458, 778]
    assert second["record_id"] == "3"
    assert second["frames"] == [0] * 55
    assert second["wave_kind"] == second["on_ms"] == second["off_ms"] == []


def test_in_scope_all_every_record_is_taken_under_one_name(tmp_path: Path) -> None:
    rows = run(tmp_path, [row(), row(split="train", record_id="2")], scope="all")
    assert [(found["record_id"], found["split"]) for found in rows] == [("1", "all"), ("2", "all")]


def test_bad_inputs_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no row in scope 'tuning'; found splits \['val'\]"):
        run(tmp_path, [row()], scope="tuning")
    with pytest.raises(DataError, match="systems nk_cwt, nk_dwt in one prediction"):
        run(tmp_path, [row()], [row(stream="cwt")])
    with pytest.raises(DataError, match=r"part-000.parquet, record 1, lead II: word 0 is 1024"):
        run(tmp_path, [row(words=[0x0400])])
    with pytest.raises(DataError, match="0 token files"):
        run(tmp_path)
    assert not (tmp_path / "predictions.parquet").exists()
