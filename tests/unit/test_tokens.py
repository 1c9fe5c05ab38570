import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from openecg import tokens as module
from openecg.codec import decode
from openecg.errors import ConfigError, DataError
from openecg.tokens import TOKEN_SCHEMA, write_tokens

RECORDS_SCHEMA = pa.schema(
    [
        *[(name, pa.string()) for name in ("dataset", "record_id", "lead", "split")],
        ("fs_hz", pa.float64()),
        ("signal", pa.list_(pa.float32())),
        ("wave_kind", pa.list_(pa.uint8())),
        *[(f"wave_{part}", pa.list_(pa.int64())) for part in ("on", "peak", "off")],
    ]
)


def ecg(seconds: float, fs_hz: float) -> npt.NDArray[np.float32]:
    """Make one beat a second: P, QRS and T as smooth bumps, R 0.5 s after each full second."""
    t = np.arange(round(seconds * fs_hz)) / fs_hz % 1
    shape = [(0.15, 0.34, 0.025), (-0.1, 0.47, 0.008), (1.0, 0.5, 0.012), (-0.2, 0.53, 0.01)]
    bumps = [a * np.exp(-(((t - at) / width) ** 2)) for a, at, width in [*shape, (0.3, 0.8, 0.05)]]
    return np.sum(bumps, axis=0).astype(np.float32)


def row(lead: str = "II", **changes: Any) -> dict[str, Any]:
    return {
        "dataset": "ludb",
        "record_id": "1",
        "lead": lead,
        "split": "val",
        "fs_hz": 500.0,
        "signal": ecg(10, 500),
        "wave_kind": [2],
        "wave_on": [230],
        "wave_peak": [250],
        "wave_off": [-1],
    } | changes


def run(
    folder: Path,
    rows: list[dict[str, Any]],
    method: str = "prominence",
    pacer: str = "coincidence",
    grid: str = "nearest",
) -> list[Any]:
    records, out = folder / "records.parquet", folder / "tokens.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=RECORDS_SCHEMA), records)
    write_tokens(
        records=records,
        tokens=out,
        stream="mine",
        method=method,
        pacer=pacer,
        grid=grid,
        window_s=10.0,
        windows='{"rule": "cover"}',
    )
    table = pq.read_table(out)
    assert table.schema.equals(TOKEN_SCHEMA)
    return list(table.to_pylist())


@pytest.mark.parametrize("method", ["dwt", "prominence", "clean_prominence"])
def test_a_strip_becomes_its_beats(tmp_path: Path, method: str) -> None:
    (stream,) = run(tmp_path, [row()], method)
    assert stream["method"] == method
    assert stream["error"] is None
    assert stream["n_beats"] in (9, 10)
    assert stream["compact"].count("r") == stream["n_beats"]
    assert stream["n_q_peaks"] >= 8
    events = decode(stream["words"])
    assert sum(ms for _, ms in events) == 10_000
    assert len(events) == len(stream["compact"])


def test_a_failed_lead_is_a_stream_with_its_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        streams = run(tmp_path, [row("I", signal=np.zeros(5000)), row("II")])
    assert [s["lead"] for s in streams] == ["I", "II"]
    assert streams[0]["compact"] == "?"
    assert decode(streams[0]["words"]) == [(1, 10_000)]
    assert streams[0]["error"] == "no R peak found"
    assert streams[0]["n_beats"] == streams[0]["n_q_peaks"] == 0
    assert streams[1]["error"] is None
    assert "2 streams of 2 leads by prominence" in caplog.text
    assert "1 streams failed; 1 x no R peak found" in caplog.text


def test_a_long_lead_gives_one_stream_per_window(tmp_path: Path) -> None:
    marks = {"wave_kind": [2, 2], "wave_on": [-1, -1], "wave_off": [-1, -1]}
    long = row(fs_hz=250.0, signal=ecg(200, 250), wave_peak=[5125, 36375], **marks)
    streams = run(tmp_path, [long])
    assert [s["window"] for s in streams] == [0, 1]
    assert [s["native_samples"] for s in streams] == [2500, 2500]
    assert [len(decode(s["words"])) > 20 for s in streams] == [True, True]
    for stream, mark_ms in zip(streams, [20_500, 145_500], strict=True):
        assert 0 <= mark_ms - stream["window_start_ms"] < 10_000
        start = round(stream["window_start_ms"] / 4)
        (alone,) = module.tokenize_strip(
            long["signal"][None, start : start + 2500],
            fs_hz=250,
            method="prominence",
            pacer="coincidence",
            grid="nearest",
        )
        assert stream["words"] == list(alone["words"])


def test_a_short_strip_keeps_its_own_length(tmp_path: Path) -> None:
    (stream,) = run(tmp_path, [row(signal=ecg(9.99, 500))])
    assert stream["native_samples"] == 4995
    assert sum(ms for _, ms in decode(stream["words"])) in (9988, 9992)


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        run(tmp_path / name, [row(), row("V1")])
    first, again = ((tmp_path / name / "tokens.parquet").read_bytes() for name in ("a", "b"))
    assert first == again


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fs_hz": 128.0}, "128 Hz; it must be a whole number, 250 or more, for .* coincidence"),
        ({"fs_hz": 249.0}, "249 Hz; it must be a whole number, 250 or more"),
        ({"fs_hz": 360.5}, r"360\.5 Hz"),
        ({"signal": np.zeros(100)}, "100 samples"),
        ({"wave_on": [260]}, "in order on, peak, off"),
    ],
)
def test_bad_leads_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=rf"records.parquet, record 1, lead V6: .*{message}"):
        run(tmp_path, [row("I"), row("V6", **changes)])
    assert not (tmp_path / "tokens.parquet").exists()


def test_a_rate_that_the_spike_detector_cannot_take_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"record 1, lead II: .* 160 Hz; .*161 or more.* high_pass"):
        run(tmp_path, [row(fs_hz=160.0)], pacer="high_pass")
    (stream,) = run(tmp_path, [row(fs_hz=200.0, signal=ecg(10, 200))], pacer="high_pass")
    assert stream["n_beats"] > 5


def test_an_unknown_method_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="method 'wavelet' is unknown; it may be dwt, cwt"):
        run(tmp_path, [row()], "wavelet")


def test_an_unknown_pacer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pacer 'both' is unknown; it may be coincidence, high"):
        run(tmp_path, [row()], pacer="both")
    with pytest.raises(ConfigError, match="grid 'fine' is unknown; it may be nearest, forced"):
        run(tmp_path, [row()], grid="fine")
    with pytest.raises(ValueError, match="unknown pacer 'both'"):
        module.find_spikes(np.zeros((1, 5000)), fs_hz=500, pacer="both")


@pytest.mark.parametrize("pacer", module.PACERS)
def test_spikes_of_a_paced_record_are_in_its_streams(tmp_path: Path, pacer: str) -> None:
    spikes = np.rint((np.arange(9) + 0.45) * 500).astype(int)
    paced = ecg(10, 500)
    paced[spikes] += 1.5
    streams = run(tmp_path, [row(lead, signal=paced) for lead in ("I", "II", "V1")], pacer=pacer)
    for stream in streams:
        assert stream["pacer"] == pacer
        assert stream["n_spikes"] == stream["compact"].count("*") == 9
        assert stream["paced"]
    (plain,) = run(tmp_path, [row()], pacer=pacer)
    assert not plain["paced"]


def test_the_grid_is_told_and_kept(tmp_path: Path) -> None:
    near, forced = (run(tmp_path, [row()], grid=grid)[0] for grid in ("nearest", "forced"))
    assert (near["grid"], forced["grid"]) == ("nearest", "forced")
    assert near["compact"] == forced["compact"]
    assert near["n_q_lost"] == near["n_q_peaks"] - near["compact"].count("q")


def test_leads_whose_windows_differ_are_all_there(tmp_path: Path) -> None:
    """Of a long record one lead is annotated once, the other twice."""
    once = {"wave_peak": [5125], "wave_kind": [2], "wave_on": [-1], "wave_off": [-1]}
    twice = {"wave_peak": [5125, 36375], "wave_kind": [2, 2]}
    twice |= {"wave_on": [-1, -1], "wave_off": [-1, -1]}
    long = {"fs_hz": 250.0, "signal": ecg(200, 250)}
    streams = run(tmp_path, [row("I", **long, **once), row("II", **long, **twice)])
    assert [(s["lead"], s["window"]) for s in streams] == [("I", 0), ("II", 0), ("II", 1)]


def test_our_own_errors_keep_their_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(module, "label_events", broken)
    with pytest.raises(KeyError, match="a bug"):
        run(tmp_path, [row()])


@pytest.mark.real
def test_dwt_fails_on_avf_of_ludb_196(real_zip: Callable[[str], Path]) -> None:
    """The only one of 492 validation leads on which it does (shared facts, section 2.1)."""
    from openecg.archive import Archive
    from openecg.datasets.ludb import read_record

    with Archive(real_zip("ludb")) as archive:
        leads = {lead.name: lead for lead in read_record(archive, "196").leads}
    signals = np.stack([leads["aVF"].signal, leads["II"].signal])
    failed, fine = module.tokenize_strip(
        signals, fs_hz=500, method="dwt", pacer="high_pass", grid="forced"
    )
    assert (failed["compact"], failed["n_beats"]) == ("?", 0)
    assert failed["error"] == "ValueError: cannot convert float NaN to integer"
    assert fine["error"] is None
