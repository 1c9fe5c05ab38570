"""The comparison of token streams, and the stage 1 table that rests on it."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from openecg.ablation import compare_streams
from openecg.errors import DataError
from openecg.files import read_tsv, write_parquet, write_tsv
from openecg.published import load_published
from openecg.stage1 import tabulate_stage1
from openecg.tokens import TOKEN_SCHEMA
from openecg.waves import BOUNDARIES

PROTOCOLS = ("full_window", "annotated_span")
STREAMS = ("dwt", "original")
PLACE = {"dataset": "ludb", "split": "validation"}
SCORES = {"f1": 0.5, "f1_lo": 0.4, "f1_hi": 0.6, "n_records": 41, "n_sequences": 492}


def tokens(stream: str, split: str, compact: str, n_q_peaks: int, error: str | None) -> Any:
    row = {"dataset": "ludb", "record_id": "1", "lead": "I", "split": split, "stream": stream}
    row |= {"method": "dwt", "pacer": "coincidence", "compact": compact, "error": error}
    return row | {"n_q_peaks": n_q_peaks, "words": []}


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Any]:
    rows = [
        tokens("dwt", "validation", "_p_qrs_t_qr_", 3, None),
        tokens("dwt", "validation", "_rs_", 1, None),
        tokens("dwt", "validation", "?", 0, "no R peak found"),
        tokens("dwt", "train", "_rs_", 99, "of no interest"),
        tokens("original", "validation", "_qr_", 1, None),
    ]
    write_parquet(pa.Table.from_pylist(rows, schema=TOKEN_SCHEMA), tmp_path / "tokens.parquet")
    frames, boundaries = [], []
    for n, system in enumerate((*(f"nk_{stream}" for stream in STREAMS), "F")):
        for protocol in PROTOCOLS:
            for group in ("all", "II"):
                place = PLACE | {"system": system, "seed": "", "protocol": protocol}
                place |= {"lead_group": group, "record_group": "all"} | SCORES
                frames += [
                    place | {"wave": wave, "f1": 0.1 * n + 0.01 * i}
                    for i, wave in enumerate(("P", "QRS", "T", "mean_wave"))
                ]
                boundaries += [
                    place
                    | {"tolerance": tolerance, "boundary": name}
                    | {"sensitivity": 0.75, "sensitivity_lo": 0.7, "sensitivity_hi": 0.8}
                    | {"median_ms": None if name == "macro" else 8.0}
                    for tolerance in ("martinez", "150ms")
                    for name in (*BOUNDARIES, "macro")
                ]
    write_tsv(pd.DataFrame(frames), tmp_path / "frames.tsv")
    write_tsv(pd.DataFrame(boundaries), tmp_path / "boundaries.tsv")
    timings = [
        {"dataset": "ludb", "stream": stream, "ms_per_lead": 31.0, "neurokit_ms_per_lead": 30.0}
        for stream in STREAMS
    ]
    write_tsv(pd.DataFrame(timings), tmp_path / "timings.tsv")
    return {
        "frames": tmp_path / "frames.tsv",
        "boundaries": tmp_path / "boundaries.tsv",
        "tokens": [tmp_path / "tokens.parquet"],
        "timings": [tmp_path / "timings.tsv"],
        "table": tmp_path / "ablation.tsv",
    }


def test_each_stream_has_its_scores_losses_failures_and_times(inputs: dict[str, Any]) -> None:
    compare_streams(**inputs)
    rows = read_tsv(inputs["table"])
    assert rows[["system", "protocol"]].to_numpy().tolist() == [
        [f"nk_{stream}", protocol] for stream in STREAMS for protocol in PROTOCOLS
    ]
    first = rows.iloc[0]
    # 2 of 4 Q peaks are left; the training split does not count.
    assert (first["n_q_peaks"], first["n_q_events"], first["q_loss"]) == (4, 2, 0.5)
    assert (first["n_streams"], first["n_failed"]) == (3, 1)
    assert first["failures"] == "1 x no R peak found"
    assert (first["f1_P"], first["f1_QRS"], first["f1_T"]) == (0.0, 0.01, 0.02)
    assert rows.iloc[2]["f1_P"] == 0.1
    assert first["martinez_macro"] == first["150ms_QRS_on"] == 0.5
    assert (first["martinez_macro_lo"], first["martinez_macro_hi"]) == (0.4, 0.6)
    assert (first["ms_per_lead"], first["neurokit_ms_per_lead"]) == (31, 30)


def test_a_stream_without_timing_is_named(inputs: dict[str, Any]) -> None:
    timings = read_tsv(inputs["timings"][0])
    write_tsv(timings[timings["stream"] != "original"], inputs["timings"][0])
    with pytest.raises(DataError, match="0 rows of dataset ludb, stream original"):
        compare_streams(**inputs)
    assert not inputs["table"].exists()


def test_without_a_scored_stream_there_is_no_table(inputs: dict[str, Any]) -> None:
    frames = read_tsv(inputs["frames"])
    write_tsv(frames[frames["system"] == "F"], inputs["frames"])
    with pytest.raises(DataError, match="no system of the streams"):
        compare_streams(**inputs)


def test_stage1_puts_published_numbers_beside_ours(inputs: dict[str, Any], tmp_path: Path) -> None:
    compare_streams(**inputs)
    table = tmp_path / "stage1.tsv"
    scores = {"frames": inputs["frames"], "boundaries": inputs["boundaries"]}
    tabulate_stage1(ablation=inputs["table"], **scores, table=table)
    rows = read_tsv(table)
    assert set(rows["system"]) == {f"nk_{stream}" for stream in STREAMS}
    assert set(rows["metric"]) == {"f1", "sensitivity", "median_ms", "q_loss"}
    known = load_published().query("dataset == 'ludb' and system == 'nk_original'")
    original = rows[rows["system"] == "nk_original"]
    for protocol, metric, target in (("full_window", "f1", "P"), ("any", "q_loss", "Q")):
        place = f"protocol == '{protocol}' and metric == '{metric}' and target == '{target}'"
        own = original.query(place)
        assert own["known"].tolist() == known.query(place)["value"].tolist() != []
        assert own["tag"].tolist() == ["[pub]"]
    # Ours, with another spike detector, is not what was published as dwt.
    assert rows.loc[rows["system"] == "nk_dwt", "known"].isna().all()
    losses = rows[rows["metric"] == "q_loss"].set_index("system")["value"]
    assert losses.to_dict() == {"nk_dwt": 0.5, "nk_original": 0.0}
    sensitivity = rows[rows["metric"] == "sensitivity"].iloc[0]
    assert (sensitivity["value"], sensitivity["lo"], sensitivity["hi"]) == (0.75, 0.7, 0.8)


def test_stage1_needs_the_scores_of_every_stream(inputs: dict[str, Any], tmp_path: Path) -> None:
    compare_streams(**inputs)
    frames = read_tsv(inputs["frames"])
    write_tsv(frames[frames["system"] != "nk_original"], inputs["frames"])
    with pytest.raises(DataError, match="no row of nk_original"):
        tabulate_stage1(
            ablation=inputs["table"],
            frames=inputs["frames"],
            boundaries=inputs["boundaries"],
            table=tmp_path / "stage1.tsv",
        )
