import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from openecg.errors import ConfigError, DataError
from openecg.simulation import KINDS, simulate_strip
from openecg.speed import ROUNDS, Times, read_strips, time_streams, time_tokens

COLUMNS = ["dataset", "stream", "n_timed", "ms_per_lead", "neurokit_ms_per_lead", "ratio"]


def rows(records: int, leads: int = 2, **changes: Any) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    strips = [
        simulate_strip(
            KINDS[0], leads=("I", "II"), fs_hz=500.0, n_samples=6000, scatter=False, rng=rng
        ).signal
        for _ in range(records)
    ]
    return [
        {"record_id": str(i), "fs_hz": 500.0, "signal": strips[i][k].astype(np.float32)} | changes
        for i in range(records)
        for k in range(leads)
    ]


def write(path: Path, content: list[dict[str, Any]]) -> Path:
    schema = [("record_id", pa.string()), ("fs_hz", pa.float64())]
    table = pa.schema([*schema, ("signal", pa.list_(pa.float32()))])
    pq.write_table(pa.Table.from_pylist(content, schema=table), path)
    return path


@pytest.mark.parametrize(("leads", "records"), [(1, 1), (2, 1), (3, 2), (99, 3)])
def test_whole_records_are_read_until_the_leads_are_enough(
    tmp_path: Path, leads: int, records: int
) -> None:
    strips, fs_hz = read_strips(write(tmp_path / "r", rows(3)), leads=leads)
    assert fs_hz == 500
    assert [strip.shape for strip in strips] == [(2, 5000)] * records


def test_the_ratio_is_that_of_the_times_told_with_it() -> None:
    times = Times(4, np.array([1.0, 4.0, 3.0, 4.0]), np.array([1.0, 2.0, 2.0, 3.0]))
    assert (times.ms_per_lead, times.neurokit_ms_per_lead) == (750, 500)
    assert times.ratio == times.ms_per_lead / times.neurokit_ms_per_lead == 1.5
    assert times.ratios.tolist() == [1, 2, 1.5, 4 / 3]


def test_both_go_first_equally_often() -> None:
    assert ROUNDS % 2 == 0


def test_a_lead_at_which_neurokit_raises_is_timed_too() -> None:
    strip = np.zeros((2, 5000))
    ways = {"method": "dwt", "pacer": "high_pass", "grid": "forced"}
    times = time_tokens([strip], fs_hz=500.0, **ways, rounds=2)
    assert times.n_leads == 2
    assert times.ratios.shape == (2,)


def test_the_step_writes_one_row_per_stream(tmp_path: Path) -> None:
    streams = {
        "fast": {"method": "prominence", "pacer": "high_pass", "grid": "forced"},
        "clean": {"method": "clean_prominence", "pacer": "coincidence", "grid": "nearest"},
    }
    time_streams(
        records=write(tmp_path / "r", rows(2)),
        dataset="made_up",
        streams=json.dumps(streams),
        leads=3,
        table=tmp_path / "t.tsv",
    )
    table = pd.read_csv(tmp_path / "t.tsv", sep="\t")
    assert list(table.columns) == COLUMNS
    assert table["stream"].tolist() == ["fast", "clean"]
    assert set(table["n_timed"]) == {4}
    assert set(table["dataset"]) == {"made_up"}
    assert (table[["ms_per_lead", "neurokit_ms_per_lead", "ratio"]] > 0).all(axis=None)


@pytest.mark.parametrize(
    ("changes", "leads", "message"),
    [
        ({"method": "wavelet"}, 1, "stream s, method: 'wavelet' is unknown; it may be dwt"),
        ({"pacer": "none"}, 1, "stream s, pacer: 'none' is unknown; it may be coincidence"),
        ({"grid": "fine"}, 1, "stream s, grid: 'fine' is unknown; it may be nearest, forced"),
        ({}, 0, "leads must be 1 or more, got 0"),
    ],
)
def test_wrong_settings_are_refused(
    tmp_path: Path, changes: dict[str, str], leads: int, message: str
) -> None:
    streams = json.dumps({"s": {"method": "dwt", "pacer": "high_pass", "grid": "forced"} | changes})
    where = {"records": tmp_path / "r", "dataset": "d", "table": tmp_path / "t"}
    with pytest.raises(ConfigError, match=message):
        time_streams(**where, streams=streams, leads=leads)  # type: ignore[arg-type]


def test_records_of_no_or_many_rates_are_refused(tmp_path: Path) -> None:
    mixed = [*rows(1), *rows(1, fs_hz=250.0)]
    for content in ([], mixed):
        with pytest.raises(DataError, match="one for all records is needed"):
            read_strips(write(tmp_path / "r", content), leads=1)
