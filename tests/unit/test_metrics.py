"""Metric tables from small prediction files and shards with known answers."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from openecg.errors import DataError
from openecg.files import read_tsv, write_parquet
from openecg.metrics import collect_metrics, score_boundaries, score_frames
from openecg.score import FRAME_PROTOCOLS, PROTOCOLS
from openecg.tolerances import TOLERANCES
from openecg.waves import BOUNDARIES, IGNORE
from tests.unit.scored_strips import NAN, TWELVE, Strip, four, one, perfect, strip, write


def score(
    folder: Path, truth: list[Strip], *seeds: list[Strip], bootstrap: int = 50
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score predictions of one or more seeds, the truth spread over two shards in reverse order."""
    half = len(truth) // 2
    shards = [
        write(folder / "s1.parquet", truth[half:]),
        write(folder / "s0.parquet", truth[:half]),
    ]
    predictions = [write(folder / f"p{i}.parquet", rows) for i, rows in enumerate(seeds)]
    frames, boundaries = folder / "frames.tsv", folder / "boundaries.tsv"
    how: dict[str, Any] = {
        "predictions": predictions,
        "shards": shards,
        "bootstrap": bootstrap,
        "seed": 0,
    }
    score_frames(table=frames, **how)
    score_boundaries(table=boundaries, **how)
    return read_tsv(frames), read_tsv(boundaries)


def test_a_perfect_prediction_scores_one_in_every_row(tmp_path: Path) -> None:
    truth = four()
    frames, boundaries = score(tmp_path, truth, [perfect(row) for row in reversed(truth)])
    assert (
        " ".join(frames.columns)
        == "system seed dataset split protocol lead_group record_group wave"
        " f1 f1_lo f1_hi f1_min f1_max sensitivity sensitivity_lo sensitivity_hi sensitivity_min"
        " sensitivity_max ppv ppv_lo ppv_hi ppv_min ppv_max"
        " tp fp fn n_records n_sequences n_seeds bootstrap"
    )
    assert (
        " ".join(boundaries.columns)
        == "system seed dataset split protocol tolerance lead_group record_group boundary"
        " tolerance_ms f1 f1_lo f1_hi f1_min f1_max sensitivity sensitivity_lo sensitivity_hi"
        " sensitivity_min sensitivity_max ppv ppv_lo ppv_hi ppv_min ppv_max mean_ms mean_ms_lo"
        " mean_ms_hi mean_ms_min mean_ms_max sd_ms sd_ms_lo sd_ms_hi sd_ms_min sd_ms_max median_ms"
        " p95_ms false_per_10_s false_per_10_s_lo false_per_10_s_hi false_per_10_s_min"
        " false_per_10_s_max n_true n_pred n_hits n_boundaries"
        " n_records n_sequences n_seeds bootstrap"
    )
    for table in (frames, boundaries):
        rates = table[["f1", "f1_lo", "f1_hi", "sensitivity", "ppv"]]
        assert (rates == 1).all().all()
        assert (table["n_records"] == 2).all()
        sizes = table.groupby("lead_group")["n_sequences"].unique().map(list).to_dict()
        assert sizes.pop("all") == [4]
        assert sizes == {name: [2] for name in ("II", "V1", "limb", "precordial", "first")}
        assert set(table["record_group"]) == {"all"}
        assert set(table["n_seeds"]) == {1}
        assert table[["f1_min", "f1_max"]].isna().all().all()
    assert list(frames["protocol"].unique()) == list(FRAME_PROTOCOLS)
    assert list(boundaries["protocol"].unique()) == list(PROTOCOLS)
    assert len(frames) == 2 * 6 * 4
    assert len(boundaries) == len(PROTOCOLS) * 2 * 6 * 7
    assert (boundaries["false_per_10_s"].dropna() == 0).all()
    macro = one(
        boundaries,
        protocol="annotated_span",
        tolerance="martinez",
        lead_group="all",
        boundary="macro",
    )
    assert (macro["n_boundaries"], macro["n_true"], macro["n_hits"]) == (6, 28, 28)
    assert np.isnan(macro[["tolerance_ms", "mean_ms", "p95_ms"]].to_numpy(dtype=float)).all()
    for tolerance, values in TOLERANCES.items():
        chosen = boundaries[boundaries["tolerance"] == tolerance].set_index("boundary")
        for boundary in BOUNDARIES:
            assert (chosen.loc[boundary, "tolerance_ms"] == values[boundary]).all()


def test_marks_outside_the_span_and_of_incomplete_waves(tmp_path: Path) -> None:
    truth = four()
    predicted = []
    for row in truth:
        frames = np.where(row["labels"] == IGNORE, 2, row["labels"]).astype(np.uint8)
        extra = {"wave_kind": [1, 2, 3, 2, 2], "on_ms": [1000, 1210, 1600, 1750, 5000.0]}
        extra["off_ms"] = [1100, 1300, 1700, 1850, 5100.0]
        predicted.append(perfect(row, frames=frames, **extra))
    frames_table, table = score(tmp_path, truth, predicted)
    qrs = {"lead_group": "all", "wave": "QRS"}
    span = one(frames_table, protocol="annotated_span", **qrs)
    assert list(span[["tp", "fp", "fn"]]) == [20, 0, 0]
    full = one(frames_table, protocol="full_window", **qrs)
    assert list(full[["tp", "fp", "fn"]]) == [20, 4 * 460, 0]
    assert full["f1"] == pytest.approx(40 / (40 + 4 * 460), rel=1e-5)
    where = {"lead_group": "all", "tolerance": "martinez"}
    on = one(table, boundary="QRS_on", protocol="annotated_span", **where)
    assert list(on[["n_true", "n_pred", "n_hits", "mean_ms", "sd_ms"]]) == [8, 8, 8, 5, 5]
    assert one(table, boundary="QRS_on", protocol="full_window", **where)["n_pred"] == 12
    off = one(table, boundary="QRS_off", protocol="annotated_span", **where)
    assert list(off[["n_true", "n_pred", "n_hits"]]) == [4, 4, 4]
    assert one(table, boundary="QRS_off", protocol="full_window", **where)["n_pred"] == 12
    unexcused = one(table, boundary="QRS_off", protocol="annotated_span_unexcused", **where)
    assert list(unexcused[["n_true", "n_pred", "n_hits"]]) == [4, 4, 4]  # 1850 is outside the span


def test_p_waves_that_nobody_marked_are_no_errors_in_the_span(tmp_path: Path) -> None:
    truth = four()
    early_t = [1000.0, 1200.0, 1400.0, 1750.0]
    predicted = [perfect(row, on_ms=early_t) for row in truth]
    for row, rhythm in zip(
        truth, ("Sinus rhythm", "Sinus rhythm", "Atrial fibrillation", ""), strict=True
    ):
        row |= {"rhythm": rhythm, "wave_kind": [2, 2, 3, 2]}
        row["labels"] = np.where(row["labels"] == 1, 0, row["labels"]).astype(np.uint8)
    frames, table = score(tmp_path, truth, predicted)
    for protocol, false in (("annotated_span", 2), ("full_window", 4)):
        on = one(table, boundary="P_on", protocol=protocol, lead_group="all", tolerance="martinez")
        assert on["n_pred"] == false
        # As in the known tables of frames, where none is excused.
        assert one(frames, wave="P", protocol=protocol, lead_group="all")["fp"] == 5 * 4
    # Of 10 s in which they would count: P of two leads in the first protocol, all else of four.
    for protocol in ("annotated_span", "annotated_span_unexcused"):
        where = {"protocol": protocol, "lead_group": "all", "tolerance": "martinez"}
        for boundary in ("P_on", "T_on"):
            found = one(table, boundary=boundary, **where)
            assert found["false_per_10_s"] == pytest.approx(1 / 0.075, rel=1e-5)
    unexcused = {"protocol": "annotated_span_unexcused", "tolerance": "martinez"}
    assert one(table, boundary="P_on", lead_group="all", **unexcused)["n_pred"] == 4


def test_errors_of_a_lead_group_are_of_its_leads(tmp_path: Path) -> None:
    truth = four()
    late = {"II": 10.0, "V1": -20.0}
    predicted = [perfect(row, on_ms=np.array(row["on_ms"]) + late[row["lead"]]) for row in truth]
    _, table = score(tmp_path, truth, predicted)
    where = {"protocol": "annotated_span", "tolerance": "martinez", "boundary": "P_on"}
    for group, mean_ms in (("II", 10), ("limb", 10), ("precordial", -20), ("all", -5)):
        row = one(table, lead_group=group, **where)
        assert row["mean_ms"] == mean_ms
        assert row["sd_ms"] == (15 if group == "all" else 0)
        assert row["median_ms"] == (15 if group == "all" else abs(mean_ms))


def test_a_wave_without_truth_is_left_out_of_the_mean(tmp_path: Path) -> None:
    truth = four()
    for row in truth:
        row["on_ms"] = [1000.0, 1200.0, NAN, 1750.0]
        row["labels"] = np.where(row["labels"] == 3, IGNORE, row["labels"]).astype(np.uint8)
    predicted = [perfect(row, on_ms=[1000.0, 1200.0, 1600.0, 1750.0]) for row in truth]
    frames, table = score(tmp_path, truth, predicted)
    where = {"protocol": "annotated_span", "tolerance": "150ms", "lead_group": "all"}
    t_on = one(table, boundary="T_on", **where)
    assert np.isnan(t_on[["f1", "f1_lo", "sensitivity", "ppv", "mean_ms"]].to_numpy(float)).all()
    assert list(t_on[["n_true", "n_pred", "n_boundaries"]]) == [0, 0, 0]
    macro = one(table, boundary="macro", **where)
    assert list(macro[["f1", "f1_lo", "f1_hi", "n_boundaries"]]) == [1, 1, 1, 5]
    waves = {"protocol": "annotated_span", "lead_group": "all"}
    assert np.isnan(one(frames, wave="T", **waves)["f1"])
    assert one(frames, wave="mean_wave", **waves)["f1"] == 1


def test_no_predicted_wave_at_all_scores_zero(tmp_path: Path) -> None:
    truth = four()
    none = {"wave_kind": [], "on_ms": [], "off_ms": [], "frames": np.zeros(500, dtype=np.uint8)}
    frames, table = score(tmp_path, truth, [perfect(row, **none) for row in truth])
    assert (table[["f1", "sensitivity", "ppv", "n_pred", "n_hits"]] == 0).all().all()
    assert (frames[["f1", "tp", "fp"]] == 0).all().all()


def test_only_the_predicted_split_is_scored(tmp_path: Path) -> None:
    truth = [*four(), strip("3", "II", split="train"), strip("3", "V1", split="train")]
    frames, _ = score(tmp_path, truth, [perfect(row) for row in truth[:4]])
    assert set(frames["split"]) == {"validation"}
    assert frames["n_sequences"].max() == 4


def test_twelve_leads_have_no_first_lead_and_windows_belong_to_their_record(tmp_path: Path) -> None:
    truth = [strip(r, lead, window=w) for r in "ab" for lead in TWELVE for w in range(2)]
    frames, _ = score(tmp_path, truth, [perfect(row) for row in truth])
    assert "first" not in set(frames["lead_group"])
    limb = one(frames, protocol="full_window", lead_group="limb", wave="P")
    assert (limb["n_sequences"], limb["n_records"]) == (24, 2)


def test_first_is_the_lead_that_comes_first_in_the_record(tmp_path: Path) -> None:
    truth = [strip(r, lead) for r in "ab" for lead in ("V5", "CM2")]
    wrong = {"frames": np.zeros(500, dtype=np.uint8)}
    predicted = [perfect(row, **(wrong if row["lead"] == "CM2" else {})) for row in truth]
    frames, _ = score(tmp_path, truth, predicted)
    assert one(frames, protocol="full_window", lead_group="first", wave="P")["f1"] == 1
    assert one(frames, protocol="full_window", lead_group="all", wave="P")["sensitivity"] == 0.5


def test_equal_inputs_in_another_order_give_equal_bytes(tmp_path: Path) -> None:
    truth = four()
    rng = np.random.default_rng(0)
    predicted = [perfect(row, frames=rng.integers(0, 4, 500, dtype=np.uint8)) for row in truth]
    outputs = []
    for name, rows in (("a", predicted), ("b", predicted[::-1])):
        (tmp_path / name).mkdir()
        score(tmp_path / name, truth, rows)
        outputs.append(
            [(tmp_path / name / f).read_bytes() for f in ("frames.tsv", "boundaries.tsv")]
        )
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda rows: rows[:-1], "ludb record 10 lead V1 window 0 is in split 'validation'"),
        (lambda rows: rows[:-2], r"ludb record 10 lead II window 0 \(and 1 more\) is in split"),
        (lambda rows: [*rows, perfect(strip("7", "II"))], "ludb record 7 lead II window 0 is pred"),
        (lambda rows: [*rows, rows[0]], "ludb record 2 lead II window 0 is there twice"),
        (lambda rows: [perfect(strip("2", "II", split="train"))], "not in split 'train'"),
        (lambda rows: [*rows[1:], rows[0] | {"seed": "1"}], r"seed must be the same.*'0', '1'"),
        (lambda rows: [row | {"split": "tuning"} for row in rows], "not in split 'train'"),
        (lambda rows: [rows[0] | {"frames": rows[0]["frames"][:-1]}, *rows[1:]],
         "record 2 lead II window 0 has 499|record 2 lead V1 window 0 has 500 frames"),
        (lambda rows: [row | {"frames": np.full(500, 4)} for row in rows], "must be below 4"),
        (lambda rows: [row | {"frames": np.zeros(400)} for row in rows], "shape"),
        (lambda rows: [rows[0] | {"on_ms": [1.0]}, *rows[1:]], "has 4 waves but 1 values of on_ms"),
    ],
)  # fmt: skip
def test_predictions_that_do_not_fit_are_refused_by_name(
    tmp_path: Path, spoil: Any, message: str
) -> None:
    truth = four()
    with pytest.raises(DataError, match=message) as caught:
        score(tmp_path, truth, spoil([perfect(row) for row in truth]))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert not (tmp_path / "boundaries.tsv").exists()


def test_no_shards_and_no_rows_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "p.parquet", [perfect(strip("1", "II"))])
    how: dict[str, Any] = {"table": tmp_path / "t.tsv", "bootstrap": 0, "seed": 0}
    with pytest.raises(DataError, match="no predictions"):
        score_frames(predictions=[], shards=[path], **how)
    with pytest.raises(DataError, match="no shards"):
        score_frames(predictions=[path], shards=[], **how)
    empty = tmp_path / "e.parquet"
    write_parquet(pa.parquet.read_table(path).slice(0, 0), empty)
    with pytest.raises(DataError, match=r"e\.parquet: no rows"):
        score_boundaries(predictions=[empty], shards=[path], **how)


def test_collected_tables_are_sorted_and_keep_their_text(tmp_path: Path) -> None:
    truth = four()
    paths = []
    for system, seed in (("nk_dwt", ""), ("F", "1"), ("F", "0")):
        folder = tmp_path / f"{system}{seed}"
        folder.mkdir()
        score(folder, truth, [perfect(row, system=system, seed=seed) for row in truth])
        paths.append(folder / "boundaries.tsv")
    made = tmp_path / "all.tsv"
    collect_metrics(tables=paths, table=made)
    again = tmp_path / "again.tsv"
    collect_metrics(tables=paths[::-1], table=again)
    assert made.read_bytes() == again.read_bytes()
    table = read_tsv(made)
    seeds = table.fillna({"seed": ""})[["system", "seed"]].drop_duplicates()
    assert seeds.to_numpy().tolist() == [["F", "0"], ["F", "1"], ["nk_dwt", ""]]
    lines = paths[2].read_text().splitlines()
    assert made.read_text().splitlines()[: len(lines)] == lines  # digit for digit


def test_tables_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    truth = four()
    score(tmp_path, truth, [perfect(row, system="nk_dwt", seed="") for row in truth])
    frames, boundaries = tmp_path / "frames.tsv", tmp_path / "boundaries.tsv"
    made = tmp_path / "all.tsv"
    with pytest.raises(DataError, match=r"frames\.tsv: columns .* differ from those of"):
        collect_metrics(tables=[frames, boundaries], table=made)
    twin = tmp_path / "twin.tsv"
    twin.write_bytes(frames.read_bytes())
    with pytest.raises(
        DataError, match=r"twin\.tsv: scores nk_dwt  ludb validation, as .*frames\.tsv"
    ):
        collect_metrics(tables=[frames, twin], table=made)
    with pytest.raises(DataError, match="no metric tables"):
        collect_metrics(tables=[], table=made)


def test_seeds_get_rows_of_their_own_and_one_of_their_mean(tmp_path: Path) -> None:
    truth = [strip(r, lead) for r in "abcdef" for lead in ("II", "V1")]
    silent = {"wave_kind": [], "on_ms": [], "off_ms": [], "frames": np.zeros(500, dtype=np.uint8)}
    seeds = []
    for seed, deaf in (("10", "ab"), ("2", "abcd")):
        rows = [perfect(r, seed=seed, **(silent if r["record_id"] in deaf else {})) for r in truth]
        for row in rows:
            row["on_ms"] = [time + int(seed) for time in row["on_ms"]]
        seeds.append(rows)
    frames, boundaries = score(tmp_path, truth, *seeds, bootstrap=500)
    for table, target in ((frames, {"wave": "P"}), (boundaries, {"boundary": "P_off"})):
        assert list(dict.fromkeys(table["seed"])) == ["2", "10", "mean"]
        where = {"protocol": "full_window", "lead_group": "all", **target}
        if table is boundaries:
            where["tolerance"] = "martinez"
        low, high, mean = (one(table, seed=seed, **where) for seed in ("2", "10", "mean"))
        assert (low["f1"], high["f1"]) == (pytest.approx(1 / 2), pytest.approx(4 / 5))
        assert mean["f1"] == pytest.approx((low["f1"] + high["f1"]) / 2)
        assert (mean["f1_min"], mean["f1_max"]) == (low["f1"], high["f1"])
        assert mean["sensitivity"] == pytest.approx((1 / 3 + 2 / 3) / 2)
        assert (mean["sensitivity_min"], mean["sensitivity_max"]) == pytest.approx((1 / 3, 2 / 3))
        assert mean["f1_lo"] < mean["f1"] < mean["f1_hi"]
        assert list(table.groupby("seed")["n_seeds"].unique().loc[["2", "10", "mean"]]) == (
            [[1], [1], [2]]
        )
        assert (mean["n_records"], mean["n_sequences"]) == (6, 12)
        assert table[table["seed"] != "mean"][["f1_min", "f1_max"]].isna().all().all()
    assert mean["n_true"] == low["n_true"] == 12
    assert np.isnan(mean["n_pred"])
    where = {"protocol": "annotated_span", "tolerance": "martinez", "lead_group": "all"}
    errors = [one(boundaries, seed=s, boundary="P_on", **where)["mean_ms"] for s in ("2", "10")]
    assert errors == [2, 10]
    assert one(boundaries, seed="mean", boundary="P_on", **where)["mean_ms"] == 6
    assert one(boundaries, seed="mean", boundary="P_on", **where)["median_ms"] == 6


def test_all_seeds_must_predict_the_same(tmp_path: Path) -> None:
    truth = four()
    first = [perfect(row) for row in truth]
    for change, message in (
        ({"system": "G"}, r"p1\.parquet: system 'G' differs from 'F' of .*p0\.parquet"),
        ({"split": "all"}, r"p1\.parquet: split 'all' differs from 'validation'"),
        ({"seed": "0"}, r"p1\.parquet: seed '0' is also that of .*p0\.parquet"),
    ):
        second = [perfect(row) | {"seed": "1"} | change for row in truth]
        with pytest.raises(DataError, match=message):
            score(tmp_path, truth, first, second)
    with pytest.raises(
        DataError, match=r"p1\.parquet: ludb record 10 lead II window 0 .*and 1 more"
    ):
        score(tmp_path, truth, first, [perfect(row, seed="1") for row in truth[:2]])


def test_split_all_is_every_record_and_tuning_the_predicted_ones_of_train(tmp_path: Path) -> None:
    held_out = [strip("1", lead) for lead in ("II", "V1")]
    train = [strip(r, lead, split="train") for r in "23" for lead in ("II", "V1")]
    truth = [*held_out, *train]
    frames, _ = score(tmp_path, truth, [perfect(row, split="all") for row in truth])
    assert set(frames["split"]) == {"all"}
    assert frames["n_records"].max() == 3
    with pytest.raises(DataError, match=r"record 3 lead II window 0 .*is in .*, but not predicted"):
        score(tmp_path, truth, [perfect(row, split="all") for row in truth[:4]])
    tuned = [perfect(row, split="tuning") for row in train[:2]]
    frames, _ = score(tmp_path, truth, tuned)
    assert set(frames["split"]) == {"tuning"}
    assert (frames["n_records"].max(), frames["n_sequences"].max()) == (1, 2)
    with pytest.raises(DataError, match="record 2 lead V1 window 0 is in split 'train'"):
        score(tmp_path, truth, tuned[:1])
    with pytest.raises(DataError, match=r"record 3 lead II window 0 .*is in split 'train'"):
        score(tmp_path, truth, tuned, [perfect(row, split="tuning", seed="1") for row in train])
    with pytest.raises(DataError, match=r"record 1 lead II window 0 .*not in split 'train'"):
        score(tmp_path, truth, [perfect(row, split="tuning") for row in truth])


def test_a_group_of_records_is_scored_by_itself(tmp_path: Path) -> None:
    truth = [strip(r, lead) for r in ("af", "sinus") for lead in TWELVE]
    for row in truth:
        row["rhythm"] = "Sinus rhythm"
        if row["record_id"] == "af":  # no P wave
            row |= {"rhythm": "Atrial fibrillation", "wave_kind": [2, 3, 2]}
            row |= {name: row[name][1:] for name in ("on_ms", "peak_ms", "off_ms")}
    late = [
        perfect(row, wave_kind=[1, 2, 3, 2, 1], on_ms=[1000, 1220, 1600, 1750, 1500.0],
                off_ms=[1100, 1300, 1700, NAN, 1550])
        for row in truth
    ]  # fmt: skip
    _, table = score(tmp_path, truth, late)
    groups = ("all", "AF_flutter", "sinus_rhythm", "other_rhythm")
    assert set(table["record_group"]) == set(groups)
    where = {"protocol": "annotated_span", "tolerance": "martinez"}
    for lead, n_leads in (("all", 12), ("II", 1)):
        for group in groups:
            row = one(table, record_group=group, lead_group=lead, boundary="QRS_on", **where)
            assert row["n_sequences"] == n_leads * (2 if group == "all" else 1)
            assert row["mean_ms"] == 10
    assert set(table[table["record_group"] != "all"]["lead_group"]) == {"all", "II"}
    where |= {"lead_group": "all", "boundary": "P_on"}
    sinus, flutter = (one(table, record_group=g, **where) for g in ("sinus_rhythm", "AF_flutter"))
    assert flutter["false_per_10_s"] == pytest.approx(
        2 / 0.075, rel=1e-5
    )  # two in each span of 750 ms
    assert sinus["false_per_10_s"] == pytest.approx(1 / 0.075, rel=1e-5)
    assert np.isnan(flutter["f1"])
    both = one(table, record_group="all", **where)
    assert both["false_per_10_s"] == pytest.approx(1.5 / 0.075, rel=1e-5)
    assert both["false_per_10_s_lo"] == sinus["false_per_10_s"]
    assert both["false_per_10_s_hi"] == flutter["false_per_10_s"]
    full = table[(table["protocol"] == "full_window") | (table["boundary"] == "macro")]
    assert full["false_per_10_s"].isna().all()


def test_forty_one_records_of_twelve_leads_take_under_two_seconds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth, predicted = [], []
    for record in range(41):
        for lead in TWELVE:
            row = strip(str(record), lead)
            on = np.sort(np.arange(36) * 270.0 + rng.integers(0, 100, 36))
            row |= {"wave_kind": np.tile([1, 2, 3], 12), "on_ms": on, "off_ms": on + 100}
            row |= {"peak_ms": on + 50, "span_on_ms": on[3], "span_off_ms": on[30]}
            row |= {"rhythm": ("Sinus rhythm", "Atrial flutter, typical")[record % 2]}
            row |= {"conduction": ("", "I degree av block")[record % 3 == 0]}
            row |= {"paced": record % 5 == 0}
            truth.append(row)
            moved = {name: row[name] + rng.normal(0, 30, 36) for name in ("on_ms", "off_ms")}
            frames = rng.integers(0, 4, 500, dtype=np.uint8)
            predicted.append(
                perfect(row) | moved | {"wave_kind": row["wave_kind"], "frames": frames}
            )
    how: dict[str, Any] = {
        "predictions": [write(tmp_path / "p.parquet", predicted)],
        "shards": [write(tmp_path / "s.parquet", truth)],
        "bootstrap": 1000,
        "seed": 0,
    }
    begin = time.process_time()
    score_boundaries(table=tmp_path / "b.tsv", **how)
    score_frames(table=tmp_path / "f.tsv", **how)
    assert time.process_time() - begin < 2
    table = read_tsv(tmp_path / "b.tsv")
    assert table.groupby(["lead_group", "record_group"]).ngroups == 3 + 12 + 2 * 5
