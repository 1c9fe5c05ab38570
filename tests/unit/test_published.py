"""The published numbers are complete, sourced, tagged and said once."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from openecg.classical import PROTOCOL as CLASSICAL
from openecg.groups import LEAD_GROUPS, RECORD_GROUPS
from openecg.metrics import BOUNDARY_ROWS, FRAME_ROWS
from openecg.published import CALLED_HERE, load_published
from openecg.score import PROTOCOLS
from openecg.stage2.settings import resolve_setting

ROOT = Path(__file__).parents[2]
DATASETS = ("ludb", "isp", "qtdb", "qtdb_centre", "qtdb_density")
WHERE = ["system", "dataset", "split", "protocol", "tolerance", "lead_group", "record_group"]
WHERE += ["metric", "target"]

# What else has a decimal point there: parameters, versions, a number of arXiv, and the better end
# of a range that is printed again with more digits.
NOT_RESULTS = {
    "1.1": {"2001.04689"},
    "8.3": {"1.08", "2.51", "3.21"},
    "8.4": {"0.05", "0.11"},
    "10": {"0.11", "0.973"},
}


def test_every_number_has_a_source_and_a_tag_and_is_said_once() -> None:
    table = load_published()
    assert list(table.columns) == [*WHERE, "value", "lo", "hi", "source", "tag"]
    said = table.drop(columns=["lo", "hi"])
    assert not said.isna().any().any()
    assert (said.drop(columns=["tolerance", "value"]) != "").all().all()
    assert (table["lo"].isna() == table["hi"].isna()).all()
    limited = table.dropna(subset="lo")
    assert (limited["lo"] < limited["value"]).all()
    assert (limited["value"] < limited["hi"]).all()
    assert not table.duplicated(WHERE).any()
    assert set(table["tag"]) <= {"[pub]", "[ours]", "[P]", "[S]", "[C]", "[M]"}
    places = r"((functional-spec|state-of-the-art)\.md|issue) \d|README of openecg 0\.1\.0"
    assert table["source"].str.match(places).all()


@pytest.mark.parametrize(
    ("document", "section"),
    [
        *(("functional-spec", f"8.{number}") for number in range(1, 7)),
        ("functional-spec", "10"),
        *(("state-of-the-art", number) for number in ("1.1", "1.3", "2.1")),
    ],
)
def test_every_number_of_a_section_is_there(document: str, section: str) -> None:
    text = (ROOT / "docs" / f"{document}.md").read_text()
    body = re.split(rf"^#{{2,3}} {re.escape(section)}\b.*$", text, flags=re.M)[1]
    body = re.split(r"^#{2,3} |^-{3,}$", body, flags=re.M)[0]
    printed = set(re.findall(r"(?<![\d.])\d+\.\d+\b", body))
    table = load_published()
    held = np.abs(table[["value", "lo", "hi"]].to_numpy().ravel())
    held = np.concatenate([held, 100 * held])  # some print percent
    missing = {text for text in printed if not np.isclose(held, float(text), atol=1e-9).any()}
    assert missing == NOT_RESULTS.get(section, set())


def test_names_and_units_are_those_of_the_metric_tables() -> None:
    table = load_published()
    rates = table["metric"].isin(["f1", "sensitivity", "ppv", "specificity"])
    rates |= table["metric"].isin(["q_loss_events", "paced_found"])
    rates |= table["metric"].isin(["f1_sd_over_leads", "f1_weakest_lead", "f1_of_samples"])
    assert table.loc[rates, "value"].between(0, 1).all()
    others = ["mean_ms", "sd_ms", "median_ms", "ms_per_lead", "f1_change"]
    others += ["mean_leads", "spikes_per_10_s"]
    assert table.loc[~rates, "metric"].isin(others).all()
    ours = table[table["protocol"].isin([*PROTOCOLS, CLASSICAL])]
    ours = ours[ours["dataset"].isin(DATASETS)]
    peaks = {"P_peak", "QRS_peak", "T_peak"}
    assert set(ours["target"]) <= {*FRAME_ROWS, *BOUNDARY_ROWS, *peaks, "AF", "flutter"}
    assert set(ours["lead_group"]) <= {"all", "first", "better", "twelve", *LEAD_GROUPS}
    assert set(ours["record_group"]) <= {"all", *RECORD_GROUPS}
    assert set(ours["tolerance"]) == {"", "martinez", "150ms", "100ms", "400ms", "beat"}


def test_numbers_stand_under_the_name_of_what_is_made_alike_here() -> None:
    systems = set(load_published()["system"])
    assert {"nk_original", "F_unmasked", "C_unmasked"} <= systems
    config = yaml.safe_load((ROOT / "workflow_config.yaml").read_text())
    for stream, spec in config["streams"].items():
        if spec["method"] == "dwt":
            assert (f"nk_{stream}" in systems) == (spec["pacer"] == "high_pass"), stream
    for system in load_published().query("source.str.contains(' 8.[123]:')")["system"].unique():
        name = system.partition("+")[0]
        if name in config["settings"]:
            resolved = resolve_setting(config["settings"], name)
            assert not resolved["training"]["mask_unannotated"], name


def test_some_numbers_as_they_are_printed() -> None:
    table = load_published().set_index(WHERE)["value"]
    full, every = ("ludb", "validation", "full_window"), ("all", "all")
    assert [table["F_unmasked", *full, "", *every, "f1", wave] for wave in ("P", "QRS", "T")] == [
        0.633, 0.806, 0.710,
    ]  # fmt: skip
    post = "C_unmasked+original"
    assert table[post, *full, "150ms", *every, "f1", "QRS_off"] == 0.878
    assert table[post, *full, "martinez", *every, "mean_ms", "P_off"] == 21.7
    assert table["C_unmasked+shift", *full, "martinez", *every, "f1", "P_off"] == 0.737
    peer = ("openecg 0.11.0 v56c", "ludb", "validation", "annotated_span_unexcused", "martinez")
    assert table[*peer, "all", "all", "f1", "macro"] == 0.9512
    assert table[*peer, "all", "paced", "f1", "macro"] == 0.763
    classical = ("qtdb", "all", CLASSICAL)
    assert table["ecgpuwave", *classical, "400ms", "better", "all", "sd_ms", "QRS_on"] == 8.6
    assert table["martinez_2004_wt", *classical, "beat", "better", "all", "sd_ms", "T_off"] == 18.1


def test_what_is_called_otherwise_here_is_there() -> None:
    config = yaml.safe_load((ROOT / "workflow_config.yaml").read_text())
    known = {*config["settings"], *(f"nk_{stream}" for stream in config["streams"])}
    assert set(CALLED_HERE.values()) <= known
