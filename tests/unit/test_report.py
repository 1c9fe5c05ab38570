"""The page of a run: what it states, what it never states, and that it stands alone."""

import base64
import itertools
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from openecg.errors import DataError
from openecg.files import write_tsv
from openecg.made import made_by
from openecg.numbers import tabulate_numbers
from openecg.report.page import write_report
from openecg.report.strips import choose_strips
from openecg.selection import TUNING
from openecg.table_list import TABLES
from openecg.tabulate import read_table, write_table
from tests.unit.made_up_numbers import SOURCES, write_scores

REAL, MADE_UP = "ludb", "simulated_ludb"
SPLIT = "validation"
PRINTED = ["nk_and_models", "martinez", "qtdb_classical", "p_off_bias"]
ODD = "F <b>&"
SYSTEMS = [("nk_dwt", ""), ("F+ensemble", "all"), ("F", "0"), ("F", "1"), (ODD, "0")]


def _write_strips(root: Path, dataset: str) -> tuple[list[Path], Path]:
    """Write predictions of every system and the shard they belong to."""
    keys = [
        {"dataset": dataset, "record_id": str(n), "lead": lead, "window": 0, "split": SPLIT}
        for n in (1, 2, 10)
        for lead in ("I", "II")
    ]
    labels = np.zeros(500, np.uint8)
    labels[100:120] = 2
    waves = {"wave_kind": [2], "on_ms": [2000.0], "off_ms": [2380.0]}
    shard = root / "shards" / dataset / "part-000.parquet"
    shard.parent.mkdir(parents=True)
    signal = np.sin(np.arange(2500) / 9).astype(np.float32)
    truth = {"fs_hz": 250.0, "signal": signal, "labels": labels} | waves
    truth |= {"span_on_ms": 1000.0, "span_off_ms": 9000.0}
    pq.write_table(pa.Table.from_pylist([key | truth for key in keys]), shard)
    paths = []
    for i, (system, seed) in enumerate(SYSTEMS):
        path = root / "predictions" / str(i) / f"{dataset}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        found = {"system": system, "seed": seed} | waves
        rows = [
            key | found | {"frames": np.roll(labels, i * n)} for n, key in enumerate(keys, start=1)
        ]
        pq.write_table(pa.Table.from_pylist(rows), path)
        paths.append(path)
    return paths, shard


def _automatic(path: Path) -> Path:
    row = {"boundary": "QRS_on", "protocol": "better lead", "n_records": 105, "mean_ms": -3.58}
    row |= {"published_mean_ms": -3.6, "source": "a <paper> [C]"}
    write_tsv(pd.DataFrame([row]), path)
    return path


def _ablation(path: Path) -> Path:
    scores = {"n_records": 41, "f1_P": 0.1234, "f1_QRS": 0.5, "f1_T": 0.25}
    scores |= {"martinez_macro": 0.6543, "martinez_macro_lo": 0.6, "martinez_macro_hi": 0.7}
    scores |= {"150ms_macro": 0.8765}
    counts = {"q_loss": 0.0513, "n_failed": 1, "n_streams": 492, "ms_per_lead": 31.26}
    rows = [
        {"system": "nk_dwt", "dataset": dataset, "split": SPLIT, "protocol": protocol}
        | {"method": "dwt", "pacer": "high_pass", "grid": "forced", "neurokit_ms_per_lead": 29.0}
        | scores
        | counts
        for dataset in (REAL, MADE_UP)
        for protocol in ("full_window", "annotated_span")
    ]
    write_tsv(pd.DataFrame(rows), path)
    return path


def _model_times(path: Path) -> Path:
    row = {"dataset": REAL, "system": "nk_dwt", "leads": 1, "n_timed": 24, "ms_per_lead": 30.0}
    model = {"system": "F <b>&", "leads": 0, "ms_per_lead": 4.567, "share_of_nk_dwt": 0.1522}
    rows = [row | {"share_of_nk_dwt": 1.0}, row | model | {"parameters": 1234567}]
    write_tsv(pd.DataFrame(rows).astype({"parameters": "Int64"}), path)
    return path


def _pacing(path: Path) -> Path:
    record = {"detector": "coincidence_cv", "dataset": REAL, "leads": "II + V1", "fs_hz": 500}
    record |= {"group": "all", "n_found": 9, "n_paced": 10, "n_false": 1, "n_unpaced": 190}
    record |= {"sensitivity_lo": 0.6, "sensitivity_hi": 0.98, "false_share_lo": 0.001}
    record |= {"false_share_hi": 0.03, "spikes_per_10_s": 0.3, "mean_leads": 10.44}
    write_tsv(pd.DataFrame([record | {"selection": "<other> folds"}]), path)
    return path


def _timing(path: Path) -> Path:
    timed = {"dataset": "simulated", "detector": "coincidence", "heart": "Sinus rhythm, paced"}
    timed |= {"fs_hz": 250.0, "n_strips": 20, "n_called_paced": 19}
    timed |= {"n_spikes": 239, "n_called": 238, "n_hits": 237, "spike_sensitivity": 0.9916}
    timed |= {"spike_ppv": 0.9958, "mean_ms": 0.12, "sd_ms": 1.0, "p95_ms": 2.0}
    write_tsv(pd.DataFrame([timed]), path)
    return path


def _stage1(path: Path) -> Path:
    row = {"system": "nk_original", "dataset": REAL, "split": SPLIT, "protocol": "full_window"}
    row |= {"tolerance": "", "metric": "f1", "feature": "P", "value": 0.4916, "value_lo": 0.45}
    row |= {"value_hi": 0.53, "known": 0.492, "source": "the <source>", "tag": "[pub]"}
    row |= {"goal": "at least 0.8", "met": False}
    median = row | {"metric": "median_ms", "feature": "QRS_on", "tolerance": "martinez"}
    median |= {"value": 6.0, "value_lo": None, "known": 6, "goal": "at most 20", "met": True}
    unasked = row | {"feature": "mean_wave", "value": 0.7654}
    write_tsv(pd.DataFrame([row, median, unasked]), path)
    return path


def _effects(path: Path) -> Path:
    row = {"dataset": REAL, "split": "tuning", "system": ODD, "reference": "F"}
    row |= {"changes": "model.layers <8>", "protocol": "annotated_span", "tolerance": "martinez"}
    row |= {"target": "macro", "metric": "f1", "value": 0.9512, "effect": 0.0123}
    row |= {"effect_lo": 0.0046, "effect_hi": 0.0198, "n_records": 159, "n_seeds": 3}
    row |= {"n_seeds_reference": 3, "bootstrap": 100}
    unsure = row | {"target": "P_on", "metric": "false_per_10_s", "effect_lo": -0.01}
    write_tsv(pd.DataFrame([row, unsure]), path)
    return path


def _calibration(path: Path) -> Path:
    figures = {"system": ODD, "dataset": REAL, "split": SPLIT, "n_records": 3, "n_seeds": 2}
    figures |= {"bootstrap": 100}
    rows = []
    for level, target in itertools.product(("label", "wave"), ("P", "QRS", "T")):
        for name, n, probability in (("0.0-0.1", 7, 0.05), ("0.9-1.0", 0, None), ("all", 7, 0.05)):
            row = {"level": level, "target": target, "bin": name, "n": n} | figures
            row |= {"probability": probability, "observed": 0.1 if n else None}
            row |= {"observed_lo": 0.05, "observed_hi": 0.2, "error": 0.0512, "error_lo": 0.04}
            row |= {"error_hi": 0.06, "false_share": 0.0831, "false_share_lo": 0.05}
            row |= {"in_place_share": 0.7, "in_place_share_lo": 0.6, "in_place_share_hi": 0.8}
            rows.append(row | {"false_share_hi": 0.1})
    table = pd.DataFrame(rows)
    write_tsv(pd.concat([table, table.assign(system=f"{ODD}+other")]), path)
    return path


def _grid(path: Path) -> Path:
    row = {"system": ODD, "dataset": REAL, "split": "tuning", "protocol": "annotated_span"}
    row |= {
        "min_run_ms": 60,
        "merge_gap_ms": 200,
        "min_wave_ms": 0,
        "min_p_share": 0,
        "macro_martinez": 0.9123,
    }
    row |= {"macro_martinez_lo": 0.9, "macro_martinez_hi": 0.92, "macro_150ms": 0.95}
    row |= {"macro_150ms_lo": 0.94, "macro_150ms_hi": 0.96, "n_records": 159, "n_seeds": 3}
    rows = [
        row,
        row | {"min_run_ms": 0, "merge_gap_ms": 0, "min_wave_ms": 40},
        row | {"min_run_ms": 0, "merge_gap_ms": 0, "min_p_share": 0.3},
    ]
    write_tsv(pd.DataFrame(rows).assign(bootstrap=100), path)
    return path


def _listed(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.touch()
    return path


def _write_inputs(root: Path) -> dict[str, Any]:
    """Write everything write_report reads."""
    metrics = root / "metrics"
    metrics.mkdir(parents=True)
    scores, runs = write_scores(metrics)
    numbers = metrics / "numbers.tsv"
    tabulate_numbers(scores=scores, runs=runs, sources=SOURCES, table=numbers)
    tables = [root / "tables" / f"{name}.tsv" for name in PRINTED]
    for table in tables:
        write_table(numbers=numbers, name=table.stem, table=table)
    history = root / "checkpoints" / "F" / "seed0" / "history.tsv"
    names = ["tuning_loss", *(f"tuning_f1_{wave}" for wave in ("P", "QRS", "T", "mean"))]
    columns = {"epoch": [1, 2], "learning_rate": 0.001, "train_loss": [1.0, 0.5]}
    write_tsv(pd.DataFrame(columns | {name: [0.4, 0.5] for name in names}), history)
    graph = root / "figures" / "rules.svg"
    graph.parent.mkdir()
    graph.write_text('<svg xmlns="http://www.w3.org/2000/svg"><text>all</text></svg>')
    strips = [_write_strips(root, dataset) for dataset in (REAL, MADE_UP)]
    return {
        "datasets": [REAL, MADE_UP],
        "tables": tables,
        "numbers": numbers,
        "runs": runs,
        "effects": [_effects(metrics / "effects.tsv")],
        "grids": [_grid(metrics / "decoding_grid_F.tsv")],
        "calibrations": [_calibration(metrics / "calibration_F.tsv")],
        "histories": [history],
        "predictions": [path for paths, _ in strips for path in paths],
        "shards": [shard for _, shard in strips],
        "rule_graph": graph,
        "ablation": [_ablation(root / "metrics" / "ablation.tsv")],
        "stage1": [_stage1(root / "metrics" / "stage1.tsv")],
        "timings": [_listed(root / "timings" / f"{name}.tsv") for name in (REAL, MADE_UP)],
        "model_times": [_model_times(root / "timings" / "models_ludb.tsv")],
        "pacing": [
            _pacing(root / "metrics" / f"pacing_{REAL}.tsv"),
            _timing(root / "metrics" / "pacing_timing.tsv"),
        ],
        "cards": [],
        "automatic": [
            _automatic(root / "metrics" / f"automatic_{name}.tsv")
            for name in ("qtdb", "simulated_qtdb")
        ],
        "frame_ms": 25,
        "strips": 3,
        "report": root / "report.html",
    }


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Any]:
    return _write_inputs(tmp_path / "results")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    inputs = _write_inputs(tmp_path_factory.mktemp("run") / "results")
    write_report(**inputs)
    path: Path = inputs["report"]
    return path


@pytest.fixture(scope="module")
def page(report: Path) -> str:
    return report.read_text(encoding="utf-8")


def _parts(page: str, dataset: str) -> list[str]:
    """Return what stands under each heading of a data set."""
    parts = re.split(r"<h[23]>|</section>", page)
    return [part for part in parts if part.startswith((f"{dataset}, ", f"{dataset}<"))]


def _blocks(page: str, dataset: str) -> list[str]:
    """Return the blocks of printed tables that are of one data set."""
    parts = re.split(r"<h[234]>|</section>", page)
    return [part for part in parts if part.startswith(f"{dataset}, {SPLIT} split, protocol")]


def test_the_title_names_the_data_sets_and_says_simulated_in_bold(page: str) -> None:
    heading = re.search(r"<h1>(.*?)</h1>", page)
    assert heading is not None
    assert heading[1] == f"ECG delineation on {REAL}, {MADE_UP}: <strong>simulated data</strong>"


def test_a_run_on_real_data_does_not_say_simulated(inputs: dict[str, Any]) -> None:
    write_report(**inputs | {"datasets": [REAL]})
    page = inputs["report"].read_text()
    assert "<strong>" not in page
    assert 'class="alert"' not in page


def test_known_numbers_stand_beside_the_real_data_set_only(page: str) -> None:
    real, made_up = "".join(_blocks(page, REAL)), "".join(_blocks(page, MADE_UP))
    assert '<small class="published">0.757 [pub]</small>' in real
    assert '<small class="published">0.951 [0.933, 0.966] [ours]</small>' in real
    assert "functional-spec.md 8.3: macro F1 of C [pub]</li>" in real  # its source
    assert "C_unmasked+original<sup>" in real
    assert "openecg 0.11.0 v56c" in real
    assert "0.740<small>[0.700, 0.900]" in made_up
    for text in ("[pub]", "<sup>", "openecg 0.11.0", "published"):
        assert text not in made_up


def test_the_check_of_the_scorer_shows_known_numbers_for_real_data_only(page: str) -> None:
    (real,), (made_up,) = _parts(page, "qtdb"), _parts(page, "simulated_qtdb")
    assert "<td>-3.6</td>" in real
    assert "published mean ms" in real
    assert "a &lt;paper&gt; [C]" in real
    assert "published mean ms" not in made_up
    assert "paper" not in made_up


def test_every_table_of_scores_says_what_it_rests_on(page: str) -> None:
    section = page[page.index("<h2>Tables") : page.index("<h2>Effects")]
    titles = re.findall(r"<h3>(.*?)</h3>", section)
    assert titles == [TABLES[name].title for name in PRINTED if name != "qtdb_classical"]
    for title, table in zip(titles, re.split("<h3>", section)[1:], strict=True):
        how = re.search(r'<ul class="about">(.*?)</ul>', table, re.S)
        assert how is not None, title
        made = "learnt from ludb; training masked; last epoch; epochs 50, batches of 64; "
        assert f"C_unmasked+original, C_unmasked: {made}10000 parameters" in how[1]
        assert "C_unmasked+original: decoding min_run_ms 60, original" in how[1]
        for block in re.split("<h4>", table)[1:]:
            assert re.match(rf"({REAL}|{MADE_UP}), {SPLIT} split, protocol \w+</h4>", block)
            if "0.740" in block:
                assert "records: 41; seeds: one, 0; interval: 95 %, 100 resamples" in block
                assert "martinez" in block


def test_effects_stand_with_what_they_are_against(page: str) -> None:
    section = page[page.index("<h2>Effects") : page.index("<h2>Decoding grid")]
    assert f"<h3>{REAL}, tuning split</h3>" in section
    assert "F &lt;b&gt;&amp;<small>against F: model.layers &lt;8&gt;</small>" in section
    assert "<td><b>+0.012</b><small>[+0.005, +0.020]</small><small>0.951</small></td>" in section
    assert "<td>+0.012<small>[-0.010, +0.020]</small>" in section
    assert "159 records, mean of 3 seeds" in section
    assert "95 % interval from 100 bootstrap resamples of the same records" in section


def test_cleanings_are_named_and_scored(page: str) -> None:
    section = page[page.index("<h2>Decoding grid") : page.index("<h2>Calibration")]
    assert f"F &lt;b&gt;&amp; on {REAL}, tuning split, protocol annotated_span" in section
    assert "<td>runs under 60 ms, gaps under 200 ms</td>" in section
    assert "<td>waves under 40 ms</td><td>0.912<small>[0.900, 0.920]</small></td>" in section
    assert "<td>fewer P than 0.3 of the QRS</td>" in section


def test_calibration_is_drawn_and_tabulated(page: str) -> None:
    section = page[page.index("<h2>Calibration") : page.index("<h2>Token streams")]
    cells = "<td>0.051<small>[0.040, 0.060]</small></td><td>7</td><td>0.083<small>[0.050, 0.100]"
    assert "<td>F &lt;b&gt;&amp;, QRS</td>" in section
    assert cells in section
    assert "2 seeds pooled" in section
    (source,) = _sources(section)
    svg = base64.b64decode(source.partition(",")[2]).decode()
    for text in ("P, labels", "QRS, predicted waves", "F &lt;b&gt;&amp;"):
        assert f"<!-- {text} -->" in svg
    assert "<td>F &lt;b&gt;&amp;+other, QRS</td>" in section
    assert "+other" not in svg


def test_tables_without_numbers_are_named_in_one_line(page: str) -> None:
    assert "<p>Without numbers in this run: QTDB, classical protocol.</p>" in page


def test_the_range_of_seeds_stands_below_the_interval(inputs: dict[str, Any]) -> None:
    (path,) = [path for path in inputs["tables"] if path.stem == "martinez"]
    table = read_table(path)
    table.loc[0, ["seeds", "f1"]] = ["mean of 3", "0.810 [0.720, 0.930] 0.801 to 0.821"]
    write_tsv(table, path)
    write_report(**inputs)
    page = inputs["report"].read_text()
    assert "0.810<small>[0.720, 0.930]</small><small>0.801 to 0.821</small>" in page
    assert "seeds: mean of 3" in page


def test_streams_are_compared_with_their_losses_and_times(page: str) -> None:
    tables = [table for table in _parts(page, REAL) if "Token streams" in table]
    assert len(tables) == 1
    for text in ("dwt, high pass pacer", "0.654<small>[0.600, 0.700]", "0.876", "0.051"):
        assert text in tables[0]
    assert "<td>1</td><td>492</td><td>31.3</td><td>29.0</td>" in tables[0]
    assert "no seed; in brackets 95 % intervals" in tables[0]


def test_pacing_counts_records_and_times_simulated_spikes(page: str) -> None:
    (table,) = [part for part in _parts(page, REAL) if "have a pacemaker?" in part]
    assert "9 of 10<small>[0.600, 0.980]" in table
    assert "1 of 190<small>[0.001, 0.030]" in table
    assert "&lt;other&gt; folds" in table
    assert "<td>II + V1</td><td>500 Hz</td>" in table
    assert "set by hand with all records of ludb in view" in table
    timed = page[page.index("<h3>Simulated spikes") :]
    assert "<td>250</td><td>19</td><td>20</td><td>239</td><td>238</td><td>237</td>" in timed


def test_stage1_shows_goals_and_whether_they_are_met(page: str) -> None:
    section = page[page.index("<h2>Stage 1") : page.index("<h2>Pacing")]
    assert "<td>at least 0.8</td><td>0.492 not met<small>[0.450, 0.530]</small>" in section
    assert "0.492 [pub]<sup>1</sup>" in section
    assert "6.0 met<small class" in section
    assert "full_window, Martinez" in section
    assert "the &lt;source&gt;" in section
    assert "0.765" not in section


def test_frames_and_tolerances_are_those_of_the_run(page: str) -> None:
    assert "frames of 25 ms" in page
    assert "frames of 20 ms" not in page
    assert "Martinez: P 50 ms, QRS 40 ms, T on 50 ms, T off 100 ms; 150 ms: 150 ms for all." in page


def test_names_are_escaped(page: str) -> None:
    assert "F &lt;b&gt;&amp;" in page
    assert ODD not in page
    assert "<table>&" not in page
    assert "<paper>" not in page


def test_the_page_needs_no_other_file(page: str) -> None:
    assert not re.search(r"https?:", page)
    assert not re.search(r"<script|<link|<iframe|@import|url\(", page)
    assert all(source.startswith("data:image/svg+xml;base64,") for source in _sources(page))


def _sources(page: str) -> list[str]:
    return re.findall(r'src="([^"]*)"', page)


def test_models_are_timed_beside_neurokit(page: str) -> None:
    speed = page[page.index('<section id="speed">') : page.index('<section id="token-streams">')]
    assert "<td>all</td><td>1,234,567</td><td>4.57</td><td>0.152</td>" in speed
    assert "24 leads of 10 s" in speed


def test_curves_strips_and_rule_graph_are_embedded(page: str) -> None:
    figures = [base64.b64decode(source.partition(",")[2]) for source in _sources(page)]
    assert len(figures) == 1 + 1 + 3 + 1  # calibration, curves, strips, rules
    for figure in figures:
        assert ElementTree.fromstring(figure).tag.endswith("svg")
    assert b"<text>all</text>" in figures[-1]
    for figure in figures[2:5]:
        rows = re.findall(r"<!-- (truth|F, seed \d|nk_dwt|F &lt;b.*?, seed 0) -->", figure.decode())
        assert rows == ["truth", "F, seed 0", "F &lt;b&gt;&amp;, seed 0"]


def test_links_lead_from_the_page_to_files_that_are_there(page: str, report: Path) -> None:
    links = re.findall(r'<li><a href="([^"]*)"', page)
    names = ["metrics/numbers.tsv", "checkpoints/F/seed0/history.tsv", f"shards/{REAL}/"]
    for name in [*names, "metrics/stage1.tsv", "timings"]:
        assert any(link.startswith(name) for link in links), name
    for link in links:
        assert (report.parent / link).exists()


def test_equal_inputs_in_another_folder_give_equal_bytes(page: str, inputs: dict[str, Any]) -> None:
    write_report(**inputs)
    assert inputs["report"].read_text(encoding="utf-8") == page


def test_a_run_without_training_or_check_has_no_such_sections(inputs: dict[str, Any]) -> None:
    untrained = [path for path in inputs["predictions"] if path.parent.name == "0"]
    write_report(
        **inputs
        | {"histories": [], "ablation": [], "stage1": [], "timings": [], "pacing": []}
        | {"model_times": []}
        | {"effects": [], "grids": [], "calibrations": []}
        | {"automatic": [], "predictions": untrained}
    )
    page = inputs["report"].read_text()
    assert "<h2>Training" not in page
    assert "<h2>Scorer check" not in page
    assert len(_sources(page)) == 3 + 1


@pytest.mark.parametrize("others", [[], ["held out"]])
def test_strips_are_of_held_out_records_or_else_of_the_first_scope(
    inputs: dict[str, Any], others: list[str]
) -> None:
    tuned = []
    for path in inputs["predictions"]:
        table = pq.read_table(path)
        split = pa.array([TUNING] * table.num_rows)
        table = table.set_column(table.column_names.index("split"), "split", split)
        tuned.append(path.with_name(f"tuned_{path.name}"))
        pq.write_table(table, tuned[-1])
    held_out = inputs["predictions"] if others else []
    write_report(**(inputs | {"predictions": [*tuned, *held_out]}))
    page = inputs["report"].read_text()
    shown = {split for split in (SPLIT, TUNING) if f", {split} split: " in page}
    assert shown == {SPLIT if others else TUNING}


def test_predictions_and_shards_without_a_common_strip_are_refused(
    inputs: dict[str, Any],
) -> None:
    inputs["shards"] = inputs["shards"][:1]
    inputs["predictions"] = inputs["predictions"][len(SYSTEMS) :]
    message = f"{inputs['predictions'][0]}: no strip in common"
    with pytest.raises(DataError, match=re.escape(message)):
        write_report(**inputs)
    assert not inputs["report"].exists()


def _errors(**n_records: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        (dataset, str(record), lead, 0)
        for dataset, n in n_records.items()
        for record in range(n)
        for lead in ("I", "II", "III")
    ]
    table = pd.DataFrame(rows, columns=["dataset", "record_id", "lead", "window"])
    return table.assign(error=rng.random(len(table)))


def test_strips_are_spread_over_data_sets_and_records() -> None:
    errors = _errors(a=20, b=20, c=2)
    chosen = choose_strips(errors, 12)
    assert chosen["dataset"].value_counts().to_dict() == {"a": 5, "b": 5, "c": 2}
    assert not chosen.duplicated(["dataset", "record_id"]).any()


def test_strips_hold_the_worst_lead_and_say_so() -> None:
    errors = _errors(a=20, b=20)
    chosen = choose_strips(errors, 8)
    for dataset, rows in errors.groupby("dataset"):
        worst = chosen[chosen["why"].str.startswith("worst") & (chosen["dataset"] == dataset)]
        assert worst["error"].tolist() == [rows["error"].max()]
    for row in chosen[chosen["why"].str.startswith("median")].itertuples():
        record = errors[(errors["dataset"] == row.dataset) & (errors["record_id"] == row.record_id)]
        assert row.error == record["error"].median()


@pytest.mark.parametrize("n_strips", [5, 30])
def test_the_choice_does_not_depend_on_the_order_of_the_leads(n_strips: int) -> None:
    errors = _errors(a=20)
    shuffled = errors.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(
        choose_strips(errors, n_strips).reset_index(drop=True),
        choose_strips(shuffled, n_strips).reset_index(drop=True),
    )


def test_every_record_has_its_strip_before_one_has_two() -> None:
    errors = _errors(a=5, b=1, c=1)
    chosen = choose_strips(errors, 12)
    assert len(chosen) == 12
    assert not chosen.duplicated(["dataset", "record_id", "lead", "window"]).any()
    assert chosen.groupby("dataset")["record_id"].nunique().to_dict() == {"a": 5, "b": 1, "c": 1}
    n_strips = chosen.groupby(["dataset", "record_id"]).size()
    assert sorted(n_strips["a"]) == [1, 1, 1, 2, 2]
    assert sorted([*n_strips["b"], *n_strips["c"]]) == [2, 3]
    assert len(choose_strips(_errors(a=7), 12)) == 12


def test_no_more_strips_than_leads() -> None:
    chosen = choose_strips(_errors(a=2), 12)
    assert len(chosen) == 6
    assert chosen["why"].str.startswith("another lead or window").sum() == 4
    assert choose_strips(_errors(a=2), 0).empty
    assert choose_strips(_errors(), 12).empty


def test_the_page_says_what_made_it(page: str, inputs: dict[str, Any]) -> None:
    assert "Made by" not in page  # written by no step
    with made_by("write-report", write_report, {"frame_ms": 20.0}):
        write_report(**inputs)
    written = inputs["report"].read_text()
    assert "<h2>Made by</h2>" in written
    assert f"torch {torch.__version__}" in written
