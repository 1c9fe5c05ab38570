"""Which strips belong to which group of leads and records."""

import numpy as np
import pandas as pd
import pytest

from openecg.groups import LEAD_GROUPS, RECORD_GROUPS, group_strips

TWELVE = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]


def strips(*records: dict[str, object], leads: list[str]) -> pd.DataFrame:
    rows = [
        {"record_id": str(i), "lead": lead, "rhythm": "", "conduction": "", "paced": False}
        | {"is_first": lead == leads[0], "n_qrs_on": 0, "n_t_on": 0}
        | record
        for i, record in enumerate(records)
        for lead in leads
    ]
    return pd.DataFrame(rows)


def members(table: pd.DataFrame, lead_group: str = "all") -> dict[str, list[str]]:
    """Records of each record group."""
    return {
        group.record_group: sorted(set(table["record_id"][group.strips]))
        for group in group_strips(table)
        if group.lead_group == lead_group
    }


def test_records_are_grouped_by_rhythm_pacing_and_conduction() -> None:
    table = strips(
        {"rhythm": "Sinus rhythm"},
        {"rhythm": "Sinus rhythm", "paced": True},
        {"rhythm": "Sinus bradycardia", "conduction": "I degree av block"},
        {"rhythm": "Atrial fibrillation", "paced": True},
        {"rhythm": "Atrial flutter, typical"},
        {"rhythm": "Sinus rhythm", "conduction": "Left anterior hemiblock; Iii degree av-block"},
        {"rhythm": "Sinus rhythm", "conduction": "Sinoatrial blockade, undefined"},
        leads=TWELVE,
    )
    expected = {
        "all": list("0123456"),
        "sinus_rhythm": list("056"),
        "other_rhythm": list("234"),
        "AF_flutter": list("34"),
        "paced": list("13"),
        "AV_block": list("25"),
    }
    assert members(table) == members(table, "II") == expected
    assert members(table, "V1") == members(table, "limb") == {"all": list("0123456")}
    assert set(expected) - {"all"} <= set(RECORD_GROUPS)


def test_leads_are_grouped_by_name_and_a_group_without_strip_is_left_out() -> None:
    table = strips({}, {}, leads=["MLII", "V5"])
    groups = {group.lead_group: list(np.flatnonzero(group.strips)) for group in group_strips(table)}
    assert groups == {"all": [0, 1, 2, 3], "first": [0, 2], "precordial": [1, 3], "V5": [1, 3]}
    twelve = group_strips(strips({}, leads=TWELVE))
    assert [group.lead_group for group in twelve] == ["all", *LEAD_GROUPS]
    assert [group.strips.sum() for group in twelve] == [12, 6, 6, *[1] * 12]


@pytest.mark.parametrize(
    ("n_qrs_on", "n_t_on", "inside"),
    [(10, 8, True), (10, 7, False), (0, 5, False), (5, 6, True)],
)
def test_the_t_subset_is_judged_by_the_first_lead_over_all_windows(
    n_qrs_on: int, n_t_on: int, inside: bool
) -> None:
    table = strips({}, {}, leads=["V5", "II"])
    table = pd.concat([table, table], ignore_index=True)  # two windows each
    own = (table["record_id"] == "1") & table["is_first"]
    table.loc[own, ["n_qrs_on", "n_t_on"]] = [[n_qrs_on, 0], [0, n_t_on]]
    table.loc[table["lead"] == "II", ["n_qrs_on", "n_t_on"]] = [9, 9]  # do not count
    subset = {"T_subset": ["1"]} if inside else {}
    for lead_group in ("all", "first", "II"):
        assert members(table, lead_group) == {"all": ["0", "1"]} | subset
    assert members(table, "V5") == {"all": ["0", "1"]}


def test_records_of_twelve_leads_have_no_t_subset() -> None:
    table = strips({"n_qrs_on": 10, "n_t_on": 10}, leads=TWELVE)
    assert members(table) == {"all": ["0"]}
