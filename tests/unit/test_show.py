import csv
import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from openecg import show as module
from openecg.__main__ import main
from openecg.codec import encode
from openecg.errors import ConfigError, DataError
from openecg.files import write_tsv
from openecg.parquet_text import kind_of
from openecg.probabilities import PROBABILITY_SCHEMA
from openecg.show import describe, wants_colour
from openecg.strip_text import (
    CLASS_NAMES,
    SYMBOL_NAMES,
    class_characters,
    event_characters,
    strip_lines,
    wave_characters,
)
from openecg.table_text import metric_table
from tests.unit.made_up_shards import shard_rows, write_rows

ROOT = Path(__file__).parents[2]
BEAT = [(2, 200), (4, 80), (2, 80), (5, 20), (6, 40), (7, 40), (2, 120), (8, 200), (2, 220)]
BEAT_TEXT = "__________pppp____qrrss______tttttttttt___________"
TEXT = [(name, pa.string()) for name in ("dataset", "record_id", "lead", "split")]
WAVES = [("wave_kind", pa.list_(pa.uint8()))]
TOKENS = pa.schema(
    [
        *TEXT,
        ("window", pa.int32()),
        ("window_start_ms", pa.float64()),
        ("method", pa.string()),
        ("fs_hz", pa.float64()),
        ("words", pa.list_(pa.uint16())),
        ("n_beats", pa.int32()),
        ("n_q_peaks", pa.int32()),
        ("error", pa.string()),
    ]
)


def plain(
    path: Path,
    record: str | None = None,
    lead: str | None = None,
    width: int = 80,
    **more: Any,
) -> str:
    lines = describe(path, record=record, lead=lead, width=width, colour=False, **more)
    assert all(len(line) <= width for line in lines)
    return "\n".join(lines)


def token_row(**changes: Any) -> dict[str, Any]:
    return {
        **{"dataset": "simulated_ludb", "record_id": "7", "lead": "II", "split": "validation"},
        **{"window": 0, "window_start_ms": 0.0, "method": "dwt", "fs_hz": 500.0},
        **{"words": encode(BEAT), "n_beats": 1, "n_q_peaks": 1, "error": None},
    } | changes


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    failed = token_row(lead="V1", words=encode([(1, 1000)]), error="no R peak found", n_beats=0)
    table = pa.Table.from_pylist([token_row(), failed], schema=TOKENS)
    pq.write_table(table, tmp_path / "tokens")
    return tmp_path / "tokens"


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    marks = {"wave_kind": [1, 2], "on_ms": [40.0, np.nan], "peak_ms": [60.0, 140.0]}
    rows = [row | marks | {"off_ms": [99.0, 180.0]} for row in shard_rows(records=4)]
    return write_rows(rows, tmp_path / "shard")


def test_a_shard_is_told_with_its_counts(tmp_path: Path) -> None:
    """Four real records of two leads, one of them with two windows, and a simulated one."""
    rows = [row | {"paced": row["record_id"] == "3"} for row in shard_rows(records=4)]
    rows += [row | {"window": 1} for row in rows[:2]]
    rows += shard_rows(records=1, leads=1, dataset="simulated_x", split="validation")
    marks = {"wave_kind": [1, 2], "on_ms": [40.0, np.nan], "peak_ms": [60.0, 140.0]}
    marks |= {"off_ms": [99.0, 180.0]}
    text = plain(write_rows([row | marks for row in rows], tmp_path / "shard"))
    facts = dict(re.findall(r"^(\S[\w ]*?)  +(\S.*)$", text.split("\ncolumn")[0], re.M))
    assert "Shard: windows of leads" in text
    assert facts["data set"] == "made_up, simulated_x (simulated)"
    assert facts["rows"] == "11 of 5 records and 9 leads"
    assert facts["split"] == "train: 4 records, 10 rows; validation: 1 record, 1 row"
    assert facts["leads"] == "V1 V2"
    assert facts["record ids"] == "0 1 2 3"
    assert facts["rhythms"] == "not told 5; 1 paced"
    assert facts["waves"] == "11 P, 11 QRS, 0 T; 11 without onset, 0 without end"
    for column in ("span_on_ms       float64          ms", "signal           list of float32  mV"):
        assert column in text


def test_the_share_annotated_is_counted(tmp_path: Path) -> None:
    (row,) = shard_rows(records=1, leads=1)
    row["labels"] = np.repeat([255, 0, 1, 2], 10).astype(np.uint8)
    text = plain(write_rows([row], tmp_path / "shard"))
    assert "75.0 % of 40 frames" in text
    assert "33.3 % P, 33.3 % QRS, 0.0 % T, 33.3 % none" in text


def test_tokens_are_told_with_failures_and_their_reasons(tokens: Path) -> None:
    text = plain(tokens)
    assert "Tokens:" in text
    assert "simulated_ludb (simulated)" in text
    assert "1 of 2 streams; 1 x no R peak found" in text
    assert "4 iso, 1 P, 1 Q, 1 R, 1 S, 1 T, 1 <unk>" in " ".join(text.split()).replace(" ,", ",")


def test_a_token_strip_is_its_timed_text_under_a_ruler(tokens: Path) -> None:
    text = plain(tokens, "7", "II")
    assert f"II {BEAT_TEXT}" in text
    assert "   |0.0 s    |0.2      |0.4      |0.6      |0.8" in text
    assert "1 beats, 1 Q peaks" in text
    assert "V1" not in text
    both = plain(tokens, "7")
    assert "lead V1: failed: no R peak found" in both
    assert "V1 " + "?" * 50 in both


def test_a_shard_strip_is_its_labels(shard: Path) -> None:
    labels = pq.read_table(shard)["labels"][0].as_py()
    text = plain(shard, "0", "V1")
    want = "".join({0: "_", 1: "P", 2: "Q", 3: "T", 255: "."}[c] for c in labels)
    assert f"V1 {want}" in text


def test_windows_of_a_record_are_told_apart(tmp_path: Path) -> None:
    rows = [token_row(window=i, window_start_ms=start) for i, start in enumerate([0.0, 61_500.0])]
    pq.write_table(pa.Table.from_pylist(rows, schema=TOKENS), tmp_path / "t")
    text = plain(tmp_path / "t", "7", "II")
    assert "window 1, from 61.50 s of the record" in text
    assert text.count(BEAT_TEXT) == 2


@pytest.mark.parametrize(
    ("columns", "what"),
    [
        ([*TEXT, *[(n, pa.int32()) for n in ("fold", "part")]], "Index"),
        (
            [*TEXT, ("signal", pa.list_(pa.float32())), ("fs_hz", pa.float64()), *WAVES]
            + [(f"wave_{part}", pa.list_(pa.int64())) for part in ("on", "peak", "off")],
            "Records",
        ),
        (
            [*TEXT, ("window", pa.int32()), ("system", pa.string()), *WAVES]
            + [(name, pa.list_(pa.float64())) for name in ("on_ms", "off_ms")],
            "Predictions",
        ),
        ([("a", pa.int32())], "Parquet table of no known kind"),
    ],
)
def test_the_columns_tell_what_a_table_is(tmp_path: Path, columns: Any, what: str) -> None:
    table = pa.schema(columns).empty_table()
    assert kind_of(table).what.startswith(what)
    if what != "Index":  # no index is empty
        pq.write_table(table, tmp_path / "any.name")
        assert what in plain(tmp_path / "any.name")


def test_strips_of_records_and_predictions(tmp_path: Path) -> None:
    keys = {"dataset": "d", "record_id": "1", "lead": "II", "split": "test"}
    marks = {"wave_kind": [1, 2], "wave_on": [50, 100], "wave_peak": [60, 110]}
    record = {**keys, "fs_hz": 500.0, "signal": [0.0] * 200, **marks, "wave_off": [69, 119]}
    pq.write_table(pa.Table.from_pylist([record]), tmp_path / "r")
    assert "II .....PP___QQ........" in plain(tmp_path / "r", "1")
    found = {**keys, "window": 0, "system": "nk", "wave_kind": [1, 2]}
    found |= {"on_ms": [100.0, 200.0], "off_ms": [138.0, 238.0]}
    pq.write_table(pa.Table.from_pylist([found]), tmp_path / "p")
    assert "II _____PP___QQ" in plain(tmp_path / "p", "1")


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 200).map(lambda n: 4 * n))))
def test_a_stream_keeps_to_the_ruler(events: list[tuple[int, float]]) -> None:
    text = event_characters(events)
    assert len(text) == round(sum(ms for _, ms in events) / 20)
    start = 0.0
    for symbol, ms in events:
        if ms >= 60:  # whatever its neighbours take, its middle stays
            assert text[int((start + ms / 2) // 20)] == {**dict(enumerate("·?_*pqrstuwdj"))}[symbol]
        start += ms


def test_short_events_stay_visible() -> None:
    assert event_characters([(2, 100), (5, 8), (6, 40), (7, 8), (2, 100)]).count("q") == 1
    assert "*" in event_characters([(2, 20), (3, 4), (2, 20)])
    assert event_characters([]) == ""


def test_classes_of_other_frames_keep_their_time() -> None:
    labels = np.repeat([0, 1, 2], 8)
    assert class_characters(labels, frame_ms=10) == "____PPPPQQQQ"
    assert class_characters(labels, frame_ms=40) == "_" * 16 + "P" * 16 + "Q" * 16
    with pytest.raises(ValueError, match="class 9 is unknown"):
        class_characters(np.array([9]), frame_ms=20)


def test_waves_without_an_end_are_left_out() -> None:
    times = np.array([20.0, np.nan]), np.array([59.0, 99.0])
    assert wave_characters(np.array([1, 2]), *times) == "_PP"


@pytest.mark.parametrize("width", [40, 80, 133])
@pytest.mark.parametrize("n_chars", [0, 3, 500])
def test_strips_fit_and_lose_nothing(width: int, n_chars: int) -> None:
    rows = {"II": ("_PQT?*" * 100)[:n_chars], "aVR": "q" * (n_chars // 2)}
    lines = strip_lines(rows, width=width, names={**CLASS_NAMES, **SYMBOL_NAMES}, colour=False)
    assert all(len(line) <= width for line in lines)
    for name, chars in rows.items():
        assert "".join(line[4:] for line in lines if line.startswith(f"{name:4}")) == chars
    step = (width - 4) // 10 * 10
    ticks = [line[4:] for line in lines if line.startswith("    |")]
    assert len(ticks) == -(-n_chars // step)
    for i, line in enumerate(ticks):
        at = [k for k, char in enumerate(line) if char == "|"]
        seconds = [float(part.split()[0]) for part in line.split("|")[1:]]
        assert seconds == pytest.approx([(i * step + k) * 0.02 for k in at])


def test_long_stretches_of_nothing_become_a_line() -> None:
    rows = {"II": "PQT" + "." * 5000 + "PQT"}
    lines = strip_lines(rows, width=80, names=CLASS_NAMES, colour=False)
    assert any(line.endswith("s: not annotated") for line in lines)
    assert len(lines) < 12


def test_colour_adds_nothing_but_colour(tokens: Path) -> None:
    args: dict[str, Any] = {"record": "7", "width": 80}
    coloured = "\n".join(describe(tokens, **args, colour=True))
    assert "\033[31mrr\033[0m" in coloured
    assert re.sub(r"\033\[[0-9;]*m", "", coloured) == plain(tokens, "7")


@pytest.mark.parametrize(
    ("environment", "terminal", "wanted"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm"}, False, False),
        ({"TERM": "dumb"}, True, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"NO_COLOR": "1", "TERM": "xterm"}, True, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ({"NO_COLOR": "", "TERM": "xterm"}, True, True),
    ],
)
def test_colour_follows_the_conventions(environment: Any, terminal: bool, wanted: bool) -> None:
    assert wants_colour(environment, terminal=terminal) is wanted


def scores(n_rows: int = 8) -> pd.DataFrame:
    index = np.arange(n_rows)
    return pd.DataFrame(
        {
            "system": np.where(index < n_rows // 2, "nk_dwt", "F"),
            "protocol": "full_window",
            "wave": np.tile(["P", "QRS", "T", "mean_wave"], n_rows)[:n_rows],
            "f1": 0.5 + index / 1000,
            "f1_lo": 0.4,
            "f1_hi": np.where(index % 2, 0.6, 0.61),
            "median_ms": np.where(index == 1, np.nan, 8.25 + index),
            "tp": 100 + index,
            "published": np.nan,
        }
    )


def test_a_metric_table_is_aligned_and_says_once_what_is_the_same() -> None:
    lines = metric_table(scores(), width=80, most_rows=40)
    text = "\n".join(lines)
    assert "in every row: protocol full_window" in text
    assert "empty: published" in text
    rows = [line for line in lines if line.startswith(("nk_dwt", "F "))]
    assert rows[1].split() == ["nk_dwt", "QRS", "0.501", "[0.400,", "0.600]", "-", "101"]
    assert len({len(row) for row in rows}) == 1


def test_a_value_with_other_bounds_is_not_the_same_in_every_row() -> None:
    frame = pd.DataFrame({"wave": ["P", "T"], "f1": 0.5, "f1_lo": [0.4, 0.45], "f1_hi": 0.6})
    text = "\n".join(metric_table(frame, width=80, most_rows=9))
    assert "in every row" not in text
    assert "0.500 [0.400, 0.600]" in text
    assert "0.500 [0.450, 0.600]" in text
    same = "\n".join(metric_table(frame.assign(f1_lo=0.4), width=80, most_rows=9))
    assert "in every row: f1 0.500 [0.400, 0.600]" in same


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_metric_table_fits_and_prints_all_columns(width: int) -> None:
    frame = scores(100)
    frame["a_very_long_column_of_numbers"] = np.arange(100)
    frame["another_long_column_of_numbers"] = np.arange(100)
    lines = metric_table(frame, width=width, most_rows=10)
    assert all(len(line) <= width for line in lines)
    text = "\n".join(lines)
    assert "left out: the last 90 of 100 rows" in text
    values = set(text.split())
    for name in frame:
        assert str(name) in values or str(name).endswith(("_lo", "_hi")) or name == "published"
    assert "QRS" in values
    assert "0.505" in values


STREAMS = ("clean_prominence", "cwt", "dwt", "original", "peak", "prominence")


def ablation() -> pd.DataFrame:
    """The ablation table of LUDB in its real shape."""
    rows: list[dict[str, Any]] = []
    for stream in STREAMS:
        for protocol in ("full_window", "annotated_span"):
            n = len(rows)
            row: dict[str, Any] = {"dataset": "ludb", "split": "validation"}
            row |= {"system": f"nk_{stream}", "protocol": protocol}
            row |= {"method": "dwt" if stream == "original" else stream, "pacer": "coincidence"}
            row |= {"grid": "nearest", "n_streams": 492, "n_failed": int(n < 10)}
            why = "1 x ValueError: cannot convert float NaN to integer" if n < 10 else None
            row |= {"failures": why, "n_q_peaks": 5000 + n, "n_q_lost": 300 + n}
            row |= {"q_loss": 0.07 + n / 1000, "q_loss_events": 0.0509 if n == 7 else None}
            row |= {"n_records": 41}
            row |= {f"f1_{wave}": 0.5 + n / 1000 for wave in ("P", "QRS", "T", "mean_wave")}
            row |= {"f1_mean_wave_lo": 0.45, "f1_mean_wave_hi": 0.61 + n / 1000}
            for tolerance in ("martinez", "150ms"):
                row |= {f"{tolerance}_macro": 0.7 + n / 1000, f"{tolerance}_macro_lo": 0.65}
                row |= {f"{tolerance}_macro_hi": 0.75}
                for name in ("P_on", "P_off", "QRS_on", "QRS_off", "T_on", "T_off"):
                    row[f"{tolerance}_{name}"] = 0.8 + n / 1000
            row |= {"n_timed": 24, "ms_per_lead": 31.26 + n, "neurokit_ms_per_lead": 30.0}
            rows.append(row | {"ratio": 1.021 + n / 1000})
    return pd.DataFrame(rows)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_an_ablation_table_shows_all_its_results(width: int) -> None:
    frame = ablation()
    assert frame.shape == (12, 43)
    lines = metric_table(frame, width=width, most_rows=40)
    assert all(len(line) <= width for line in lines)
    text = "\n".join(lines)
    for name in frame:
        assert re.search(rf"(?<!\w){name}(?!\w)", text) or name.endswith(("_lo", "_hi")), name
    assert "0.703 [0.650, 0.750]" in text
    for value in ("0.811", "0.081", "42.26", "1.032"):
        assert value in text.split(), value
    # Keys stand beside each block of columns.
    if width > 60:
        blocks = re.split(r"\n\n(?=system )", text)[1:]
        assert len(blocks) > 2
        for block in blocks:
            assert all(block.count(f"nk_{stream} ") == 2 for stream in STREAMS)
            assert block.count("full_window") == block.count("annotated_span") == 6
        # Numbers come first; free text is cut, and moves no column.
        assert text.index("ratio") < text.index("failures")
        assert "1 x ValueError: cannot conv…" in text


def test_rows_are_told_apart_by_the_fewest_keys() -> None:
    lines = metric_table(ablation(), width=80, most_rows=40)
    head = next(line for line in lines if line.startswith("system"))
    assert head.split()[:3] == ["system", "protocol", "n_failed"]


def test_known_numbers_keep_their_tag_and_source() -> None:
    frame = pd.DataFrame(
        {
            "metric": ["f1", "f1", "median_ms", "median_ms"],
            "feature": ["P", "T", "QRS_on", "T_on"],
            "value": [0.4916, 0.5, 6.0, 31.25],
            "known": [0.492, np.nan, 6.0, np.nan],
            "source": ["spec 8.1", None, "spec 3.5", None],
            "tag": ["[pub]", None, "[ours]", None],
        }
    )
    lines = metric_table(frame, width=80, most_rows=2)
    text = "\n".join(lines)
    assert "0.492 [pub] (1)" in text
    assert "(1) spec 8.1" in lines
    assert "spec 3.5" not in text
    assert "source" not in text
    whole = "\n".join(metric_table(frame, width=80, most_rows=9))
    # Decimals are those that the metric needs.
    assert re.search(r"f1 +P +0\.492 +0\.492 \[pub\] \(1\)", whole)
    assert re.search(r"median_ms +QRS_on +6\.00 +6 \[ours\] \(2\)", whole)
    assert re.search(r"median_ms +T_on +31\.25 ", whole)


def test_long_keys_become_headings_and_stay_whole() -> None:
    long = ["one protocol whose name is longer than a column may be", "another one of that kind"]
    frame = pd.DataFrame({"point": ["P", "P"], "protocol": long, "ms": [1.5, 2.5]})
    for table in (frame, frame.assign(point=["P", "T"])):
        text = "\n".join(metric_table(table, width=80, most_rows=10))
        assert all(name in text for name in long)


def test_a_table_without_rows_is_its_head(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("system\tf1\n")
    assert "Table: 0 rows of 2 columns" in plain(tmp_path / "t")


def test_weights_are_their_notes_and_tensors(tmp_path: Path) -> None:
    weights = {"stem.weight": np.zeros((4, 3), np.float32), "head.bias": np.zeros(4, np.float32)}
    content = {"name": "F", "setting": {"model": {"d_model": 8}}}
    noted = {"openecg": json.dumps(content), "run": "by hand"}
    save_file(weights, tmp_path / "any", noted)
    text = plain(tmp_path / "any")
    assert "16 numbers in 2 tensors" in text
    assert "d_model: 8" in text
    assert "run: by hand" in text
    assert re.search(r"stem\.weight +F32 +4 x 3", text)
    assert "left out: the last 1 of 2 tensors" in plain(tmp_path / "any", rows=1)
    save_file(weights, tmp_path / "bare")
    assert "head.bias" in plain(tmp_path / "bare")


def test_a_zip_is_its_members(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z", "w") as archive:
        archive.writestr("data/1.dat", b"x" * 2500)
        archive.writestr("RECORDS", b"1\n")
    text = plain(tmp_path / "z")
    assert "Zip: 2 files, 2.5 kB unpacked" in text
    assert "2.5 kB  data/1.dat" in text
    assert "left out: the last 1 of 2 files" in plain(tmp_path / "z", rows=1)


def test_a_log_is_its_last_lines_wrapped(tmp_path: Path) -> None:
    lines = [f"12:00:{i:02d} INFO key: value {i} and {'more words ' * 9}" for i in range(9)]
    (tmp_path / "a.log").write_text("\n".join(["tab\tin it", *lines]) + "\n")
    text = plain(tmp_path / "a.log", rows=3)
    assert "Text: 10 lines" in text
    assert "left out: the first 7 of 10 lines" in text
    assert "value 6" in text
    assert "value 5" not in text
    assert re.search(r"\n  (more|words) ", text)


@pytest.mark.parametrize(
    ("content", "kind", "title"),
    [
        ("<!DOCTYPE html>\n<html><head><title>A &amp;\nB</title></head>", "HTML page", "A & B"),
        ('<?xml version="1.0"?>\n<svg width="9"><title>Rules</title></svg>', "SVG figure", "Rules"),
        ("<svg></svg>", "SVG figure", "without a title"),
    ],
)
def test_pages_and_figures_are_their_kind_size_and_title(
    tmp_path: Path, content: str, kind: str, title: str
) -> None:
    (tmp_path / "f").write_text(content)
    text = plain(tmp_path / "f")
    assert kind in text
    assert "0.1 kB" in text or "0.0 kB" in text
    assert title in text


def test_rows_of_a_table_can_be_chosen(tmp_path: Path) -> None:
    write_tsv(ablation(), tmp_path / "t.tsv")
    path = tmp_path / "t.tsv"
    text = plain(path, where=["system=nk_original", "protocol=annotated_span"])
    title = "12 rows of 43 columns; 1 with system=nk_original and protocol=annotated_span"
    assert title in " ".join(text.split())
    assert "1 x ValueError: cannot convert float NaN to integer" in text  # one row is not cut
    assert "nk_dwt" not in text
    assert re.search(r"q_loss_events +0\.051", text)
    assert "q_loss_events" in plain(path, where=["n_q_peaks=5007"])
    assert "left out: the last 10 of 12 rows" in plain(path, rows=2)
    with pytest.raises(ConfigError, match=r"where 'sytem=x': .*did you mean 'system'"):
        plain(path, where=["sytem=x"])
    with pytest.raises(ConfigError, match="no column=value of this table"):
        plain(path, where=["system"])
    with pytest.raises(DataError, match="no row where system=nk_orginal; there are nk_original, "):
        plain(path, where=["system=nk_orginal"])


def test_rows_are_chosen_of_tables_only(tokens: Path) -> None:
    with pytest.raises(ConfigError, match="where chooses rows of TSV tables"):
        plain(tokens, where=["lead=II"])
    with pytest.raises(ConfigError, match="rows must be 1 or more, got 0"):
        module.show(path=tokens, rows=0)


def test_the_command_takes_several_conditions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tsv(ablation(), tmp_path / "t.tsv")
    conditions = ["system=nk_dwt", "protocol=full_window"]
    assert main(["show", str(tmp_path / "t.tsv"), "--rows", "3", "--where", *conditions]) == 0
    assert "1 with system=nk_dwt and protocol=full_window" in capsys.readouterr().out


def test_a_setting_is_told_from_other_yaml(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("train_on: [ludb]\nmodel: {d_model: 8}\ntraining: {}\n")
    (tmp_path / "b").write_text("datasets: [ludb]\n")
    assert "Setting of a model" in plain(tmp_path / "a")
    assert "YAML file" in plain(tmp_path / "b")


@pytest.mark.parametrize("name", ["a.parquet", "a.safetensors", "a.zip"])
def test_a_text_is_not_what_its_name_says(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("a sentence in the place of data\n")
    with pytest.raises(DataError, match="not a readable"):
        plain(tmp_path / name)


def test_a_zip_with_a_name_in_no_alphabet_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("\u00e4", "text")
    content = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(content.replace(b"\xc3\xa4", b"\xff\xff"))
    with pytest.raises(DataError, match="not a readable zip"):
        plain(tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04\xff\xfe\xfd", "not a readable zip"),
        (b"\x93NUMPY\xff\xfe\xfd", "nothing to show"),
        (b"text with a \0 in it", "nothing to show"),
        (b"PAR1 and then nothing", "not a readable Parquet file"),
        (b"\x08\0\0\0\0\0\0\0{broken}", "not a readable safetensors file"),
        (b"a\tb\n1\t2\t3\t4\n1\t2\n1\t2\t3\t4\t5\n", "not a readable TSV table"),
        (b"a\tb\tc\n1\t2\t\n\n3\t4\n", "TSV table: line 4 has 2 fields, the header has 3"),
    ],
)
def test_wrong_files_are_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(DataError, match=message) as raised:
        plain(tmp_path / "file")
    assert "\n" not in str(raised.value)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        plain(tmp_path / "missing")


@pytest.mark.parametrize("rows", ["1\t2\n \n3\t4\n", "1\t2\n\n3\t" + "x" * 200_000])
def test_tables_with_blank_lines_and_long_fields_are_shown(tmp_path: Path, rows: str) -> None:
    (tmp_path / "file").write_text("a\tb\n" + rows)
    assert "Table: 2 rows of 2 columns" in plain(tmp_path / "file")
    assert csv.field_size_limit() == 131_072  # of all readers of the process


@pytest.mark.parametrize(
    ("content", "text"),
    [("just a sentence", "just a sentence"), ("{[}", "{[}"), ("", "Empty file"), ("- 1", "- 1")],
)
def test_any_other_text_is_printed(tmp_path: Path, content: str, text: str) -> None:
    (tmp_path / "file").write_text(content)
    assert text in plain(tmp_path / "file")


def test_tokens_say_who_is_paced(tmp_path: Path) -> None:
    schema = pa.schema([*TOKENS, ("n_spikes", pa.int32()), ("paced", pa.bool_())])
    rows = [token_row(n_spikes=7, paced=True), token_row(lead="V1", n_spikes=0, paced=True)]
    rows += [token_row(record_id="8", n_spikes=0, paced=False)]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), tmp_path / "t")
    assert "1 of 2 windows of records" in plain(tmp_path / "t")
    assert "paced, 7 spikes" in plain(tmp_path / "t", "7", "II")
    assert "spikes" not in plain(tmp_path / "t", "8")


def test_a_stream_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    rows = [token_row(), token_row(lead="V1", words=[0x0400])]
    pq.write_table(pa.Table.from_pylist(rows, schema=TOKENS), tmp_path / "t")
    with pytest.raises(DataError, match="stream 1, word 0 is 1024"):
        plain(tmp_path / "t")
    with pytest.raises(DataError, match="record 7, lead V1: word 0 is 1024"):
        plain(tmp_path / "t", "7")


def test_printed_tables_show_figures_in_columns_and_systems_once(tmp_path: Path) -> None:
    made = {"trained_on": "ludb", "training": "masked", "selection": "last epoch, all records"}
    made |= {"epochs": 50, "batch_size": 64, "parameters": 211012, "decoding": "plain"}
    none = dict.fromkeys(made) | {"decoding": "NeuroKit dwt"}
    rows = [
        {"target": target, "system": system, **how, "seeds": seeds, "f1": f"{f1} [0.70, 0.90]"}
        for target, f1 in (("P_on", 0.81), ("T_on", 0.82))
        for system, how, seeds in (("F", made, "one, 0"), ("nk_dwt", none, "none"))
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    lines = plain(tmp_path / "t.tsv", width=100).splitlines()
    how = "F: learnt from ludb; training masked; last epoch, all records; epochs 50, batches of 64;"
    assert sum(line.startswith(how) for line in lines) == 1
    assert [line.split() for line in lines if "0.8" in line] == [
        [row["target"], row["system"], *row["seeds"].split(), *row["f1"].split()] for row in rows
    ]


def test_what_is_not_there_is_answered_by_what_is(tokens: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no record '8'; there are 7$"):
        plain(tokens, "8")
    with pytest.raises(DataError, match=r"no lead 'v3' in record '7'; there are II, V1$"):
        plain(tokens, "7", "v3")
    assert plain(tokens, "7", "v1") == plain(tokens, "7", "V1")
    rows = [token_row(record_id=str(i)) for i in range(100, 140)]
    pq.write_table(pa.Table.from_pylist(rows, schema=TOKENS), tmp_path / "many")
    with pytest.raises(DataError, match="no record '1011'; of the 40 there, nearest are 101, "):
        plain(tmp_path / "many", "1011")
    (tmp_path / "t.tsv").write_text("a\tb\n1\t2\n")
    with pytest.raises(DataError, match="holds no strips"):
        plain(tmp_path / "t.tsv", "1")


def test_the_command_answers_mistakes_with_exit_code_1(
    tokens: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(tokens), "--record", "8"]) == 1
    assert caplog.messages == [f"{tokens}: no record '8'; there are 7"]
    assert main(["show", str(tokens), "--lead", "II"]) == 1
    assert main(["show", str(tokens), "--width", "10"]) == 1
    assert main([]) == 2
    assert "show PATH" in capsys.readouterr().err


def test_lead_without_record_is_refused(tokens: Path) -> None:
    with pytest.raises(ConfigError, match="lead 'II' of which record"):
        module.show(path=tokens, lead="II")


def test_output_that_cannot_be_encoded_becomes_ascii(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(pa.table({"name": ["Müller · " + "x" * 90]}), tmp_path / "t")
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    module.show(path=tmp_path / "t", width=60)
    assert b"M?ller . xxx" in raw.getvalue()
    assert b"x~\n" in raw.getvalue()


def test_a_closed_pipe_is_no_error(tokens: Path) -> None:
    command = f'"{sys.executable}" -m openecg show "{tokens}" | true; echo ${{PIPESTATUS[0]}}'
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout == "0\n"
    assert done.stderr == ""


def test_probabilities_are_their_likeliest_classes(tmp_path: Path) -> None:
    called = np.repeat([0, 1, 2, 3], [10, 5, 5, 10])  # labels of 4 ms
    row = {"dataset": "made_up", "record_id": "1", "lead": "II", "window": 0, "split": "test"}
    row |= {"system": "unet", "seed": "0", "fs_hz": 250.0, "label_ms": 4.0, "offsets": None}
    row |= {"native_fs_hz": 500.0}
    row |= {"probabilities": (0.1 + 0.6 * np.eye(4)[called]).astype(np.float16).ravel()}
    path = tmp_path / "probabilities.parquet"
    pq.write_table(pa.Table.from_pylist([row], schema=PROBABILITY_SCHEMA), path)
    told = "\n".join(describe(path, width=80, colour=False))
    assert "of 4 ms" in told
    assert "16.7 % P, 16.7 % QRS, 33.3 % T, 33.3 % none" in told
    strip = "\n".join(describe(path, record="1", width=80, colour=False))
    assert "__PQTT" in strip
    assert "0.700" in strip
