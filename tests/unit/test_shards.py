import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from openecg.errors import ConfigError, DataError
from openecg.files import write_parquet
from openecg.shards import SHARD_SCHEMA, window_rows, write_shard
from openecg.signals import resample
from openecg.tokens import write_tokens
from openecg.waves import IGNORE, OTHER, QRS, P, T, Waves, labels_from_ms, pair_marks
from openecg.windows import WindowRule

LENGTHS = {"fs_hz": 250.0, "frame_ms": 20.0, "window_s": 10.0}
SETTINGS = LENGTHS | {"windows": '{"rule": "cover"}'}
ONE = {"record_id": "1", "rule": WindowRule("cover")}


def noise(n: int, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.cumsum(np.random.default_rng(seed).normal(0, 0.02, n)).astype(np.float32)


def beats(fs_hz: float, first_s: float, last_s: float) -> Waves:
    """P, QRS and T once a second, every third T without onset."""
    samples: list[int] = []
    symbols: list[str] = []
    for number, beat_s in enumerate(np.arange(first_s, last_s)):
        for symbol, at_s in (("p", 0.1), ("N", 0.3), ("t", 0.6)):
            for mark, shift_s in (("(", -0.042), (symbol, 0.0), (")", 0.048)):
                if not (symbol == "t" and mark == "(" and number % 3 == 0):
                    samples.append(round((beat_s + at_s + shift_s) * fs_hz))
                    symbols.append(mark)
    return pair_marks(np.array(samples), symbols)


def lead(
    record_id: str, name: str, index: int, fs_hz: float, signal: Any, waves: Waves
) -> dict[str, Any]:
    return {
        "dataset": "made_up",
        "record_id": record_id,
        "lead": name,
        "lead_index": index,
        "split": "train",
        "fold": 3,
        "rhythm": "Sinus rhythm",
        "conduction": "I degree av block",
        "paced": False,
        "fs_hz": fs_hz,
        "signal": signal,
        "wave_kind": waves.kind,
        "wave_on": waves.on,
        "wave_peak": waves.peak,
        "wave_off": waves.off,
    }


def write_records(path: Path, *leads: dict[str, Any]) -> Path:
    lists = {"signal": pa.float32(), "wave_kind": pa.uint8()}
    lists |= dict.fromkeys(("wave_on", "wave_peak", "wave_off"), pa.int64())
    columns = {name: [row[name] for row in leads] for name in leads[0]}
    arrays = {
        name: pa.array(cells, pa.list_(lists[name])) if name in lists else cells
        for name, cells in columns.items()
    }
    write_parquet(pa.table(arrays), path)
    return path


def make_shard(tmp_path: Path, *leads: dict[str, Any], **settings: Any) -> list[dict[str, Any]]:
    records = write_records(tmp_path / "records.parquet", *leads)
    write_shard(records=records, shard=tmp_path / "shard.parquet", **(SETTINGS | settings))
    table = pq.read_table(tmp_path / "shard.parquet")
    assert table.schema.equals(SHARD_SCHEMA)
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def test_rows_of_every_layout(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    rows = make_shard(
        tmp_path,
        lead("2", "II", 1, 500.0, noise(5000), beats(500.0, 1.0, 9.0)),
        lead("2", "V1", 6, 500.0, noise(5000), beats(500.0, 1.0, 9.0)),
        lead("10", "V1", 6, 1000.0, noise(9998), beats(1000.0, 0.5, 9.0)),
        lead("sel1", "ECG1", 1, 250.0, noise(50_000), beats(250.0, 80.0, 105.0)),
        lead("sel2", "ECG1", 1, 250.0, noise(50_000), beats(250.0, 1.0, 1.0)),
    )
    keys = [(row["record_id"], row["lead"], row["window"]) for row in rows]
    assert keys == [
        ("2", "II", 0),
        ("2", "V1", 0),
        ("10", "V1", 0),
        *[("sel1", "ECG1", k) for k in range(3)],
    ]
    assert {len(row["signal"]) for row in rows} == {2500}
    assert {len(row["labels"]) for row in rows} == {500}
    assert {row["fs_hz"] for row in rows} == {250.0}
    assert [row["native_fs_hz"] for row in rows] == [500.0, 500.0, 1000.0, 250.0, 250.0, 250.0]
    assert [row["native_samples"] for row in rows] == [5000, 5000, 9998, 2500, 2500, 2500]
    starts = np.array([row["window_start_ms"] for row in rows])
    assert starts[:3].tolist() == [0.0, 0.0, 0.0]
    assert np.diff(starts[3:]).tolist() == [10_000.0, 10_000.0]
    assert rows[0]["on_ms"][1] == 1258.0
    assert np.isnan(rows[0]["on_ms"][2])
    assert (rows[0]["span_on_ms"], rows[0]["span_off_ms"]) == (1058.0, 8648.0)
    assert (rows[0]["rhythm"], rows[0]["fold"], rows[0]["paced"]) == ("Sinus rhythm", 3, False)
    assert {row["conduction"] for row in rows} == {"I degree av block"}
    assert "6 windows of 5 leads, none of 1 leads without marks" in caplog.text
    assert " marks, 0 more outside all windows" in caplog.text


def test_marks_that_fit_no_window_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    waves = Waves(np.full(2, QRS, np.uint8), *np.array([[0, 2900], [5, 2905], [9, 2909]]))
    make_shard(tmp_path, lead("1", "I", 0, 250.0, noise(3000), waves))  # room for one window
    assert "3 marks, 3 more outside all windows" in caplog.text


def test_marks_in_two_windows_do_not_make_up_for_marks_in_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    at = np.array([*range(10_000, 17_500, 250), 100_000])
    waves = Waves(np.full(at.size, QRS, np.uint8), at - 5, at, at + 9)
    sliding = '{"rule": "sliding", "per_lead": 200, "seed": 0}'
    rows = make_shard(tmp_path, lead("1", "I", 0, 250.0, noise(120_000), waves), windows=sliding)
    held = set()
    for row in rows:
        marks_ms = np.concatenate([row["on_ms"], row["peak_ms"], row["off_ms"]])
        held |= set(marks_ms[~np.isnan(marks_ms)] + row["window_start_ms"])
    assert f" marks, {3 * at.size - len(held)} more outside all windows" in caplog.text


def test_stored_labels_come_back_from_the_marks_in_ms(tmp_path: Path) -> None:
    rows = make_shard(
        tmp_path,
        lead("1", "I", 0, 360.0, noise(3600), beats(360.0, 1.0, 9.0)),
        lead("2", "I", 0, 500.0, noise(5000), beats(500.0, 1.0, 9.0)),
        lead("3", "I", 0, 1000.0, noise(9999), beats(1000.0, 0.0, 9.0)),
        lead("4", "I", 0, 250.0, noise(30_000), beats(250.0, 50.0, 73.0)),
    )
    for row in rows:
        kind = np.array(row["wave_kind"], np.uint8)
        marks = [np.array(row[name]) for name in ("on_ms", "peak_ms", "off_ms")]
        native = {"native_fs_hz": row["native_fs_hz"], "native_samples": row["native_samples"]}
        labels = labels_from_ms(kind, *marks, **native, frame_ms=20.0, n_frames=500, masked=True)
        assert labels.tolist() == row["labels"]
        assert {OTHER, P, QRS, T, IGNORE} == set(row["labels"])
        fine = labels_from_ms(kind, *marks, **native, frame_ms=4.0, n_frames=2500, masked=True)
        for k, on, off in zip(kind, marks[0], marks[2], strict=True):
            if not np.isnan(on + off):
                assert fine[round((on + off) / 8)] == k
        # Away from the ends of waves both say the same.
        inner = np.all(fine.reshape(500, 5) == fine[::5, None], axis=1)
        np.testing.assert_array_equal(fine[::5][inner], labels[inner])


def test_the_signal_stays_in_step_with_the_marks(tmp_path: Path) -> None:
    for fs_hz, n in ((500.0, 5000), (1000.0, 9999), (360.0, 3600), (250.0, 30_000)):
        waves = beats(fs_hz, 1.0, 9.0)
        at = waves.peak[waves.kind == QRS]
        time = np.arange(n)[:, None]
        signal = np.exp(-0.5 * ((time - at) / (0.01 * fs_hz)) ** 2).sum(axis=1).astype(np.float32)
        (row,) = make_shard(tmp_path, lead("1", "I", 0, fs_hz, signal, waves))
        cut = np.array(row["signal"])
        for kind, peak_ms in zip(row["wave_kind"], row["peak_ms"], strict=True):
            near = round(peak_ms / 4)
            if kind == QRS:
                assert abs(np.argmax(cut[near - 10 : near + 11]) - 10) <= 1


def test_windows_of_a_long_lead_have_no_edges_of_their_own() -> None:
    for fs_hz in (250.0, 360.0, 1000.0):
        signal = noise(int(200 * fs_hz)) + 5.0
        waves = beats(fs_hz, 80.0, 105.0)
        rows = window_rows(signal, waves, native_fs_hz=fs_hz, **LENGTHS, **ONE)
        whole = resample(signal, fs_in_hz=fs_hz, fs_out_hz=250.0)
        begin = round(rows[0]["window_start_ms"] / 4)
        joined = np.concatenate([row["signal"] for row in rows])
        np.testing.assert_array_equal(joined, whole[begin : begin + joined.size])
        if fs_hz == 250.0:
            np.testing.assert_array_equal(joined, signal[begin : begin + joined.size])


def test_a_window_without_marks_is_there_and_not_annotated(tmp_path: Path) -> None:
    waves = Waves(
        np.full(2, QRS, np.uint8), *np.array([[1000, 48_900], [1005, 48_950], [1010, 49_000]])
    )
    long = lead("1", "I", 0, 250.0, noise(50_000), waves)
    (row,) = make_shard(tmp_path, long, windows='{"rule": "centre"}')
    assert row["window_start_ms"] == 95_000.0
    assert row["wave_kind"] == []
    assert set(row["labels"]) == {IGNORE}
    assert np.isnan([row["span_on_ms"], row["span_off_ms"]]).all()


def test_windows_at_random_depend_on_the_record_and_not_on_the_lead(tmp_path: Path) -> None:
    waves = beats(250.0, 80.0, 105.0)
    leads = [("1", "I", 0), ("1", "II", 1), ("2", "I", 0)]
    rows = make_shard(
        tmp_path,
        *[lead(*keys, 250.0, noise(50_000, seed=i), waves) for i, keys in enumerate(leads)],
        windows='{"rule": "sliding", "per_lead": 4, "seed": 7}',
    )
    starts = np.array([row["window_start_ms"] for row in rows]).reshape(3, 4)
    assert [row["window"] for row in rows] == [0, 1, 2, 3] * 3
    assert np.array_equal(starts[0], starts[1])
    assert not np.array_equal(starts[0], starts[2])
    for row in rows:
        begin = round(row["window_start_ms"] / 4)
        cut = noise(50_000, seed=leads.index((row["record_id"], row["lead"], row["lead_index"])))
        assert np.array_equal(row["signal"], cut[begin : begin + 2500])


@pytest.mark.parametrize(
    "windows",
    [
        '{"rule": "cover"}',
        '{"rule": "centre"}',
        '{"rule": "density"}',
        '{"rule": "sliding", "per_lead": 4, "seed": 7}',
    ],
)
def test_token_streams_have_the_windows_of_the_shards(tmp_path: Path, windows: str) -> None:
    leads = [
        lead("1", "I", 0, 250.0, noise(50_000), beats(250.0, 80.0, 105.0)),
        lead("1", "II", 1, 250.0, noise(50_000), beats(250.0, 20.0, 95.0)),
        lead("2", "I", 0, 250.0, noise(50_000), beats(250.0, 80.0, 105.0)),
        lead("3", "I", 0, 500.0, noise(5000), beats(500.0, 1.0, 9.0)),
    ]
    rows = make_shard(tmp_path, *leads, windows=windows)
    write_tokens(
        records=tmp_path / "records.parquet",
        tokens=tmp_path / "tokens.parquet",
        stream="mine",
        method="prominence",
        pacer="high_pass",
        grid="nearest",
        window_s=10.0,
        windows=windows,
    )
    keys = ["record_id", "lead", "window", "window_start_ms", "native_samples"]
    streams = pq.read_table(tmp_path / "tokens.parquet", columns=keys).to_pylist()
    assert streams == [{key: row[key] for key in keys} for row in rows]


def test_a_window_a_little_short_is_filled_with_its_last_value(tmp_path: Path) -> None:
    signal = noise(9980)
    (row,) = make_shard(tmp_path, lead("1", "I", 0, 1000.0, signal, beats(1000.0, 0.0, 9.0)))
    assert row["native_samples"] == 9980
    assert row["signal"][2494:] == [row["signal"][2494]] * 6
    assert row["labels"][499] == IGNORE


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"signal": noise(9979)}, "9979 samples at 1000 Hz are shorter than a window of 10 s"),
        ({"signal": np.where(np.arange(9999) == 7, np.nan, noise(9999))}, "sample 7 is nan"),
        ({"signal": noise(9999), "wave_off": np.array([9999])}, "9999 lies behind the 9999"),
        ({"signal": noise(9999), "wave_on": np.array([60])}, "60 comes before 50"),
        ({"signal": noise(9999), "fs_hz": 999.99}, "no whole number of samples"),
    ],
)
def test_bad_leads_are_named(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    waves = Waves(np.array([QRS], np.uint8), *(np.array([x]) for x in (40, 50, 60)))
    records = write_records(
        tmp_path / "records.parquet",
        lead("a", "I", 0, 1000.0, noise(9999), waves),
        lead("b", "V2", 7, 1000.0, None, waves) | change,
    )
    where = re.escape(f"{records}, record b, lead V2: ")
    with pytest.raises(DataError, match=f"^{where}.*{problem}[^\n]*$"):
        write_shard(records=records, shard=tmp_path / "shard.parquet", **SETTINGS)
    assert not (tmp_path / "shard.parquet").exists()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"window_s": 10.001}, "holds 2500.25 samples"),
        ({"frame_ms": 12.0}, "holds 833.333 frames"),
        ({"frame_ms": 2.0}, "a frame of 2 ms holds 0.5 samples"),
    ],
)
def test_lengths_must_fit(tmp_path: Path, change: dict[str, float], problem: str) -> None:
    one = lead("1", "I", 0, 500.0, noise(5000), beats(500.0, 1.0, 9.0))
    with pytest.raises(ConfigError, match=problem):
        make_shard(tmp_path, one, **change)


def test_equal_records_give_equal_bytes(tmp_path: Path) -> None:
    one = lead("1", "I", 0, 500.0, noise(5000), beats(500.0, 1.0, 9.0))
    make_shard(tmp_path, one)
    before = (tmp_path / "shard.parquet").read_bytes()
    make_shard(tmp_path, one)
    assert (tmp_path / "shard.parquet").read_bytes() == before


@pytest.mark.real
def test_real_ludb_record(real_zip: Callable[[str], Path]) -> None:
    from openecg.archive import Archive
    from openecg.datasets import ludb

    with Archive(real_zip("ludb")) as archive:
        record = ludb.read_record(archive, "34")  # V2 and V3 miss QRS onsets
    for one in record.leads:
        (row,) = window_rows(one.signal, one.waves, native_fs_hz=record.fs_hz, **LENGTHS, **ONE)
        assert set(np.unique(row["labels"])) <= {OTHER, P, QRS, T, IGNORE}
        assert np.sum(row["labels"] == QRS) > 0
        assert row["signal"].shape == (2500,)
