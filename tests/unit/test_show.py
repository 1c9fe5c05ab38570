import io
import json
import re
import subprocess
import sys
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
from openecg.parquet_text import kind_of
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


def plain(path: Path, record: str | None = None, lead: str | None = None, width: int = 80) -> str:
    lines = describe(path, record=record, lead=lead, width=width, colour=False)
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


def test_a_shard_is_told_with_its_counts(shard: Path) -> None:
    text = plain(shard)
    assert "Shard: windows of leads" in text
    assert "8 of 4 records and 2 leads" not in text
    assert "8 of 4 records and 8 leads" in text
    assert "train: 4 records, 8 rows" in text
    assert "8 P, 8 QRS, 0 T; 8 without onset, 0 without end" in text
    assert "simulated" not in text
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
    args: dict[str, Any] = {"record": "7", "lead": None, "width": 80}
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


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_metric_table_fits_and_names_what_it_leaves_out(width: int) -> None:
    frame = scores(100)
    frame["a_very_long_column_of_numbers"] = np.arange(100)
    frame["another_long_column_of_numbers"] = np.arange(100)
    lines = metric_table(frame, width=width, most_rows=10)
    assert all(len(line) <= width for line in lines)
    text = "\n".join(lines)
    assert "left out: the last 90 of 100 rows" in text
    for name in frame:
        assert str(name) in text or str(name).endswith(("_lo", "_hi"))
    values = set(text.split())
    assert "QRS" in values
    assert "0.505" in values


def test_long_keys_become_headings_and_stay_whole() -> None:
    long = ["one protocol whose name is longer than a column may be", "another one of that kind"]
    frame = pd.DataFrame({"point": ["P", "P"], "protocol": long, "ms": [1.5, 2.5]})
    for table in (frame, frame.assign(point=["P", "T"])):
        text = "\n".join(metric_table(table, width=80, most_rows=10))
        assert all(name in text for name in long)


def test_a_table_without_rows_is_its_head(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("system\tf1\n")
    assert "Table: 0 rows of 2 columns" in plain(tmp_path / "t")


def test_a_checkpoint_is_its_setting_and_size(tmp_path: Path) -> None:
    weights = {"stem.weight": np.zeros((4, 3), np.float32), "head.bias": np.zeros(4, np.float32)}
    content = {"name": "F", "setting": {"model": {"d_model": 8}}}
    save_file(weights, tmp_path / "any", {"openecg": json.dumps(content)})
    text = plain(tmp_path / "any")
    assert "16 parameters in 2 tensors" in text
    assert "stem 12" in text
    assert "d_model: 8" in text


def test_a_setting_is_told_from_other_yaml(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("train_on: [ludb]\nmodel: {d_model: 8}\ntraining: {}\n")
    (tmp_path / "b").write_text("datasets: [ludb]\n")
    assert "Setting of a model" in plain(tmp_path / "a")
    assert "YAML file" in plain(tmp_path / "b")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04\xff\xfe\xfd", "nothing to show"),
        (b"PAR1 and then nothing", "not a readable Parquet file"),
        (b"\x08\0\0\0\0\0\0\0{broken}", "not a readable safetensors file"),
        (b"just a sentence", "nothing to show"),
        (b"", "nothing to show"),
        (b"{[}", "nothing to show"),
        (b"a\tb\n1\t2\t3\t4\n1\t2\n1\t2\t3\t4\t5\n", "not a readable TSV table"),
    ],
)
def test_wrong_files_are_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(DataError, match=message) as raised:
        plain(tmp_path / "file")
    assert "\n" not in str(raised.value)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        plain(tmp_path / "missing")


def test_a_stream_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    rows = [token_row(), token_row(lead="V1", words=[0x0400])]
    pq.write_table(pa.Table.from_pylist(rows, schema=TOKENS), tmp_path / "t")
    with pytest.raises(DataError, match="stream 1, word 0 is 1024"):
        plain(tmp_path / "t")
    with pytest.raises(DataError, match="record 7, lead V1: word 0 is 1024"):
        plain(tmp_path / "t", "7")


def test_what_is_not_there_is_answered_by_what_is(tokens: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no record '8'; there are 7$"):
        plain(tokens, "8")
    with pytest.raises(DataError, match=r"no lead 'v1' in record '7'; there are II, V1$"):
        plain(tokens, "7", "v1")
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
