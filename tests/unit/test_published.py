"""The published numbers are complete, sourced, tagged and said once."""

from pathlib import Path

import yaml

from openecg.groups import LEAD_GROUPS
from openecg.metrics import BOUNDARY_ROWS, FRAME_ROWS
from openecg.published import load_published
from openecg.stage2.settings import resolve_setting

ROOT = Path(__file__).parents[2]
WHERE = ["system", "dataset", "split", "protocol", "tolerance", "lead_group", "metric", "target"]


def test_every_number_has_a_source_and_a_tag_and_is_said_once() -> None:
    table = load_published()
    assert list(table.columns) == [*WHERE, "value", "source", "tag"]
    assert not table.isna().any().any()
    assert (table.drop(columns=["tolerance", "value"]) != "").all().all()
    assert not table.duplicated(WHERE).any()
    assert set(table["tag"]) <= {"[pub]", "[ours]", "[P]", "[S]", "[C]", "[M]"}
    assert (
        table["source"]
        .str.match(r"(functional-spec|state-of-the-art)\.md \d|README of openecg 0\.1\.0")
        .all()
    )


def test_names_and_units_are_those_of_the_metric_tables() -> None:
    table = load_published()
    rates = ["f1", "f1_lo", "f1_hi", "sensitivity", "ppv", "q_loss_events", "paced_found"]
    rates = table["metric"].isin(rates)
    counts = table["metric"].isin(["mean_leads", "spikes_per_10_s"])
    assert table.loc[rates, "value"].between(0, 1).all()
    assert table.loc[~rates & ~counts, "metric"].isin(["mean_ms", "sd_ms", "median_ms"]).all()
    peaks = {"P_peak", "T_peak"}
    groups = {"paced records", "first 30 unpaced", "all unpaced"}
    assert set(table["target"]) <= {*FRAME_ROWS, *BOUNDARY_ROWS, *peaks, "Q", *groups}
    assert set(table["lead_group"]) <= {"all", "first", "better", *LEAD_GROUPS}
    assert set(table["tolerance"]) == {"", "martinez", "150ms", "400ms", "beat"}


def test_numbers_stand_under_the_name_of_what_is_made_alike_here() -> None:
    systems = set(load_published()["system"])
    assert {"nk_original", "F_unmasked", "C_unmasked"} <= systems
    config = yaml.safe_load((ROOT / "workflow_config.yaml").read_text())
    for stream, spec in config["streams"].items():
        if spec["method"] == "dwt":
            assert (f"nk_{stream}" in systems) == (spec["pacer"] == "high_pass"), stream
    for name in systems & set(config["settings"]):
        resolved = resolve_setting(config["settings"], name)
        assert not resolved["training"]["mask_unannotated"], name


def test_some_numbers_as_they_are_printed() -> None:
    table = load_published().set_index(WHERE)["value"]
    full = ("ludb", "validation", "full_window")
    assert [table["F_unmasked", *full, "", "all", "f1", wave] for wave in ("P", "QRS", "T")] == [
        0.633, 0.806, 0.710,
    ]  # fmt: skip
    assert table["C_unmasked", *full, "150ms", "all", "f1", "QRS_off"] == 0.878
    assert table["C_unmasked", *full, "martinez", "all", "mean_ms", "P_off"] == 21.7
    span = ("ludb", "validation", "annotated_span", "martinez")
    assert table["openecg 0.11.0 v56c", *span, "all", "f1", "macro"] == 0.9512
    assert table["nk_clean_prominence", *span, "II", "f1", "macro"] == 0.912
    classical = ("qtdb", "all", "better_lead_record_averaged")
    assert table["ecgpuwave", *classical, "400ms", "better", "sd_ms", "QRS_on"] == 8.6
    assert table["martinez_2004_wt", *classical, "beat", "better", "sd_ms", "T_off"] == 18.1
