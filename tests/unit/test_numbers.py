"""The long table: one row for each number, and known ones where they belong."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from openecg.errors import ConfigError, DataError
from openecg.files import read_tsv, write_tsv
from openecg.numbers import COLUMNS, KEYS, read_numbers, tabulate_numbers
from openecg.tables import where
from tests.unit.made_up_numbers import LUDB, MADE_UP, SOURCES, boundary_scores, write_scores


def tabulated(folder: Path, *, sources: str = SOURCES, **more: Any) -> pd.DataFrame:
    scores, runs = write_scores(folder, **more)
    tabulate_numbers(scores=scores, runs=runs, sources=sources, table=folder / "numbers.tsv")
    return read_numbers(folder / "numbers.tsv")


def one(numbers: pd.DataFrame, **wanted: object) -> pd.Series:
    rows = where(numbers, **wanted)
    assert len(rows) == 1
    return rows.iloc[0]


ALL = {"lead_group": "all", "record_group": "all"}
FULL = {"dataset": LUDB, "protocol": "full_window", **ALL}


def test_every_number_of_the_scores_has_one_row(tmp_path: Path) -> None:
    numbers = tabulated(tmp_path)
    assert list(numbers.columns) == COLUMNS
    assert not numbers.duplicated(KEYS).any()
    here = {"system": "C_unmasked", "tolerance": "martinez", "target": "P_on", **FULL}
    row = one(numbers, metric="f1", **here)
    assert row[["value", "lo", "hi", "n_records", "bootstrap"]].tolist() == [0.8, 0.7, 0.9, 41, 100]
    row = one(numbers, metric="mean_ms", **here)
    assert row[["value", "lo", "hi"]].tolist() == [-0.04, -1, 1]
    scores = boundary_scores(LUDB)
    for metric in ("f1", "sensitivity", "ppv", "mean_ms", "sd_ms", "false_per_10_s"):
        rows = where(numbers, dataset=LUDB, metric=metric).dropna(subset="value")
        rows = rows[rows["tolerance"] != ""]
        assert len(rows) == len(scores), metric


def test_known_numbers_stand_beside_ours_and_others_of_real_data_below(tmp_path: Path) -> None:
    numbers = tabulated(tmp_path)
    row = one(numbers, system="nk_original", target="P", metric="f1", **FULL)
    assert row[["value", "known", "tag"]].tolist() == [0.6, 0.492, "[pub]"]
    row = one(
        numbers,
        system="C_unmasked+original",
        tolerance="martinez",
        target="P_off",
        metric="f1",
        **FULL,
    )
    assert row[["known", "tag"]].tolist() == [0.608, "[pub]"]
    peer = where(numbers, system="openecg 0.11.0 v56c", target="macro", record_group="paced")
    assert peer[["known", "tag"]].to_numpy().tolist() == [[0.763, "[ours]"]]
    assert peer["value"].isna().all()
    assert ((numbers["source"] != "") == numbers["known"].notna()).all()


def test_no_known_number_stands_beside_simulated_ones(tmp_path: Path) -> None:
    simulated = where(tabulated(tmp_path), dataset=MADE_UP)
    assert len(simulated)
    assert simulated["known"].isna().all()
    assert (simulated[["source", "tag"]] == "").all().all()
    assert simulated["value"].notna().all()


def test_of_several_seeds_the_mean_stays_with_its_range(tmp_path: Path) -> None:
    scores, runs = write_scores(tmp_path)
    table = read_tsv(scores[1])
    mine = table[table["system"] == "C_unmasked"]
    mean = mine.assign(seed="mean", n_seeds=3, f1_min=0.6, f1_max=0.95)
    write_tsv(pd.concat([table, mine.assign(seed="1"), mean]), scores[1])
    tabulate_numbers(scores=scores, runs=runs, sources=SOURCES, table=tmp_path / "n.tsv")
    numbers = read_numbers(tmp_path / "n.tsv").dropna(subset="value").query("tolerance != ''")
    own = where(numbers, system="C_unmasked")
    assert set(own["seed"]) == {"mean"}
    assert set(own["n_seeds"]) == {3}
    f1 = own[own["metric"] == "f1"]
    assert (f1[["min", "max"]] == [0.6, 0.95]).all().all()
    assert own.loc[own["metric"] == "ppv", ["min", "max"]].isna().all().all()
    assert set(where(numbers, system="F <b>&")["seed"]) == {"0"}


def test_what_a_system_is_stands_in_its_rows(tmp_path: Path) -> None:
    numbers = tabulated(tmp_path).dropna(subset="value")
    names = ["trained_on", "training", "selection", "epochs", "batch_size", "parameters"]
    own = where(numbers, system="C_unmasked")[names].drop_duplicates()
    assert own.to_numpy().tolist() == [["ludb", "masked", "last epoch", 50, 64, 10_000]]
    none = where(numbers, system="nk_original")[names].drop_duplicates().iloc[0]
    assert none[:3].tolist() == ["", "", ""]
    assert none[3:].isna().all()
    domains = numbers.groupby(["system", "dataset"])["domain"].unique()
    assert domains["C_unmasked", LUDB].tolist() == ["own"]
    assert domains["C_unmasked", MADE_UP].tolist() == ["other"]
    assert domains["nk_original", LUDB].tolist() == [""]


def test_windows_of_one_zip_are_of_one_domain(tmp_path: Path) -> None:
    numbers = tabulated(tmp_path, sources='{"ludb": "a.zip", "simulated_ludb": "a.zip"}')
    assert set(where(numbers, system="C_unmasked", dataset=MADE_UP)["domain"]) == {"own"}


def test_the_twelve_leads_have_a_spread_and_a_weakest(tmp_path: Path) -> None:
    numbers = tabulated(tmp_path)
    here = {**FULL, "tolerance": "150ms", "target": "P_on", "lead_group": "twelve"}
    f1 = np.array([0.8] * 11 + [0.795])
    spread = one(numbers, system="F <b>&", metric="f1_sd_over_leads", **here)
    assert spread["value"] == pytest.approx(f1.std(), rel=1e-4)
    assert one(numbers, system="F <b>&", metric="f1_weakest_lead", **here)["value"] == 0.795
    assert spread[["n_records", "n_seeds"]].tolist() == [41, 1]


def test_a_system_or_data_set_of_which_nothing_is_said_is_refused(tmp_path: Path) -> None:
    scores, runs = write_scores(tmp_path)
    how: dict[str, Any] = {"scores": scores, "table": tmp_path / "n.tsv"}
    with pytest.raises(DataError, match="nothing is said of dataset 'simulated_ludb'"):
        tabulate_numbers(runs=runs, sources='{"ludb": "a.zip"}', **how)
    with pytest.raises(ConfigError, match="sources: not JSON"):
        tabulate_numbers(runs=runs, sources="a.zip", **how)
    write_tsv(read_tsv(runs).iloc[1:], runs)
    with pytest.raises(DataError, match="nothing is said of system 'nk_original'"):
        tabulate_numbers(runs=runs, sources=SOURCES, **how)
    assert not (tmp_path / "n.tsv").exists()
