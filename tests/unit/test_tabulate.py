"""Printed tables: what they pick, where they put it, and what they say it rests on."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from openecg.errors import ConfigError, DataError
from openecg.files import read_tsv, write_tsv
from openecg.numbers import COLUMNS, read_numbers, tabulate_numbers
from openecg.table_list import TABLES, Table
from openecg.tables import where
from openecg.tabulate import KNOWN, lay_out, read_table, write_table
from tests.unit.made_up_numbers import LUDB, MADE_UP, SOURCES, write_scores

F1 = {"metric": ("f1",), "tolerance": ("martinez",), "target": ("P_on", "macro")}
BY_TARGET = Table("By target", "About.", ("target",), F1)


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("numbers")
    scores, runs = write_scores(folder)
    tabulate_numbers(scores=scores, runs=runs, sources=SOURCES, table=folder / "numbers.tsv")
    return folder / "numbers.tsv"


def laid_out(numbers: Path, **changes: Any) -> pd.DataFrame:
    table = Table(**(vars(BY_TARGET) | changes))
    return lay_out(table, read_numbers(numbers))


def test_numbers_go_where_the_entry_says(numbers: Path) -> None:
    printed = laid_out(numbers, pick=F1 | {"protocol": ("annotated_span", "full_window")})
    ours = printed[printed["records"] != ""]
    blocks = ours[["dataset", "protocol"]].drop_duplicates().to_numpy().tolist()
    assert blocks == [
        [name, protocol]
        for name in (LUDB, MADE_UP)
        for protocol in ("annotated_span", "full_window")
    ]
    for _, rows in ours.groupby(["dataset", "protocol"]):
        assert rows["system"].tolist() == [
            "nk_original", "C_unmasked+original", "C_unmasked", "F <b>&",
        ]  # fmt: skip
        assert set(rows["P_on"]) == {"0.800 [0.700, 0.900]"}
        assert set(rows["macro"]) == {"0.740 [0.700, 0.900]"}
    assert set(printed["lead_group"]) == set(printed["record_group"]) == {"all"}
    at = [list(printed.columns).index(name) for name in ("interval", "P_on", "macro", "sources")]
    assert at == sorted(at)


def test_rows_and_columns_change_places(numbers: Path) -> None:
    printed = laid_out(numbers, rows=("target", "system"), columns=("dataset", "protocol"))
    assert printed["target"].drop_duplicates().tolist() == ["P_on", "macro"]
    row = where(printed, target="macro", system="C_unmasked").iloc[0]
    assert row["ludb full_window"] == row["simulated_ludb annotated_span"] == "0.740 [0.700, 0.900]"
    assert row["records"] == "ludb 41; simulated_ludb 41"


def test_every_row_says_what_it_rests_on(numbers: Path) -> None:
    printed = laid_out(numbers)
    row = where(printed, system="C_unmasked+original", dataset=LUDB, protocol="full_window")
    assert row.iloc[0][["protocol", "split", "tolerance"]].tolist() == [
        "full_window", "validation", "martinez",
    ]  # fmt: skip
    budget = ["trained_on", "training", "selection", "epochs", "batch_size", "parameters"]
    said = ["ludb", "masked", "last epoch", "50", "64", "10000", "min_run_ms 60, original"]
    assert row.iloc[0][[*budget, "decoding"]].tolist() == said
    assert row.iloc[0][["records", "seeds", "interval"]].tolist() == [
        "41", "one, 0", "95 %, 100 resamples",
    ]  # fmt: skip
    nk = where(printed, system="nk_original", dataset=LUDB, protocol="full_window")
    assert nk["seeds"].tolist() == ["none"]


def test_known_numbers_stand_beside_with_tag_and_source(numbers: Path) -> None:
    printed = laid_out(numbers)
    full = {"dataset": LUDB, "protocol": "full_window"}
    mine = where(printed, system="C_unmasked+original", **full).iloc[0]
    assert mine[["macro", "macro" + KNOWN]].tolist() == ["0.740 [0.700, 0.900]", "0.757 [pub]"]
    assert mine["sources"].endswith("[pub]")
    assert "8.3" in mine["sources"]
    peers = printed[printed["records"] == ""]
    assert (peers["macro"] == "").all()
    assert (peers["macro" + KNOWN] != "").all()
    peer = where(peers, system="openecg 0.11.0 v56c").iloc[0]
    assert peer["macro" + KNOWN] == "0.951 [0.933, 0.966] [ours]"
    for _, rows in printed.groupby(["dataset", "protocol"]):
        assert (rows["records"] == "").is_monotonic_increasing  # peers last
    made_up = where(printed, dataset=MADE_UP)
    assert (made_up[["macro" + KNOWN, "sources"]] == "").all().all()


def test_a_mean_over_seeds_is_named_and_has_its_range(tmp_path: Path) -> None:
    scores, runs = write_scores(tmp_path)
    table = read_tsv(scores[1])
    table.loc[table["system"] == "C_unmasked", ["seed", "n_seeds", "f1_min", "f1_max"]] = [
        "mean", 3, 0.61, 0.95,
    ]  # fmt: skip
    write_tsv(table, scores[1])
    tabulate_numbers(scores=scores, runs=runs, sources=SOURCES, table=tmp_path / "n.tsv")
    row = where(laid_out(tmp_path / "n.tsv"), system="C_unmasked", dataset=LUDB).iloc[0]
    assert row[["seeds", "macro"]].tolist() == ["mean of 3", "0.740 [0.700, 0.900] 0.610 to 0.950"]


def test_units_are_written_as_they_should(numbers: Path) -> None:
    metrics = ("mean_ms", "sd_ms", "false_per_10_s", "ppv")
    pick = F1 | {"metric": metrics, "target": ("P_on",), "protocol": ("annotated_span",)}
    printed = laid_out(numbers, columns=("metric",), pick=pick, elsewhere="")
    assert printed.iloc[0][list(metrics)].tolist() == ["+0.0 [-1.0, +1.0]", "9.1", "1.24", "0.750"]


def two_names(printed: pd.DataFrame) -> list[str]:
    return sorted(set(printed.loc[printed["records"] != "", "system"]))


@pytest.mark.parametrize(
    ("changes", "systems"),
    [
        ({"systems": "nk_.*"}, ["nk_original"]),
        ({"systems": r"(?!nk_)[^+]*"}, ["C_unmasked", "F <b>&"]),
        ({"together": True}, ["C_unmasked", "C_unmasked+original"]),
        ({"pick": F1 | {"target": ("nothing",)}}, []),
        ({"pick": F1 | {"domain": ("other",)}}, ["C_unmasked", "C_unmasked+original", "F <b>&"]),
        ({"pick": F1 | {"lead_group": ("V1",)}}, None),
        ({"pick": F1 | {"split": ("tuning",)}}, []),
    ],
)
def test_what_is_picked(numbers: Path, changes: dict[str, Any], systems: list[str] | None) -> None:
    printed = laid_out(numbers, **changes)
    if systems is not None:
        assert two_names(printed) == systems
    else:
        assert set(printed.loc[printed["records"] != "", "P_on"]) == {"0.795 [0.700, 0.900]"}
    if "domain" in changes.get("pick", {}):
        assert set(printed["dataset"]) == {MADE_UP}


def test_pairs_are_picked_as_pairs(numbers: Path) -> None:
    pick = {"tolerance": ("martinez",), "target metric": ("macro f1", "P_on ppv")}
    printed = laid_out(numbers, columns=("target", "metric"), pick=pick)
    names = [name for name in printed if name.startswith(("macro", "P_on", "P_off"))]
    assert [name for name in names if not name.endswith(KNOWN)] == ["macro f1", "P_on ppv"]


def test_settings_that_change_something_come_with_what_they_build_on(tmp_path: Path) -> None:
    scores, runs = write_scores(tmp_path)
    table = read_tsv(runs).fillna({"base": "", "changes": ""})
    table.loc[table["system"] == "F <b>&", ["base", "changes"]] = ["C_unmasked", "augmentation.x 1"]
    write_tsv(table, runs)
    tabulate_numbers(scores=scores, runs=runs, sources=SOURCES, table=tmp_path / "n.tsv")
    printed = laid_out(tmp_path / "n.tsv", changed=r"augmentation\..*")
    assert two_names(printed) == ["C_unmasked", "C_unmasked+original", "F <b>&"]
    assert two_names(laid_out(tmp_path / "n.tsv", changed=r"model\..*")) == []


def test_a_setting_is_taken_only_where_two_systems_of_it_are(tmp_path: Path) -> None:
    scores, runs = write_scores(tmp_path, systems={"F": "0", "F+original": "0"})
    for path in scores:
        table = read_tsv(path)
        more = where(table, system="F").assign(split="all", n_records=200)
        write_tsv(pd.concat([table, more]), path)
    tabulate_numbers(scores=scores, runs=runs, sources=SOURCES, table=tmp_path / "n.tsv")
    how: dict[str, Any] = {"pick": F1 | {"split": ("all", "validation")}, "elsewhere": ""}
    assert set(laid_out(tmp_path / "n.tsv", **how)["split"]) == {"all", "validation"}
    assert set(laid_out(tmp_path / "n.tsv", **how, together=True)["split"]) == {"validation"}


def test_rows_can_be_ordered(tmp_path: Path) -> None:
    systems = {"F": "0", "C_large": "0", "nk_original": ""}
    scores, runs = write_scores(tmp_path, systems=systems)
    tabulate_numbers(scores=scores, runs=runs, sources=SOURCES, table=tmp_path / "n.tsv")
    pick = F1 | {"protocol": ("full_window",)}
    ordered = laid_out(tmp_path / "n.tsv", pick=pick, elsewhere="", order="parameters")
    block = where(ordered, dataset=LUDB, split="validation")
    assert block["system"].tolist() == ["F", "C_large", "nk_original"]


def test_each_entry_of_the_list_can_be_printed(numbers: Path, tmp_path: Path) -> None:
    made = {}
    for name in TABLES:
        write_table(numbers=numbers, name=name, table=tmp_path / f"{name}.tsv")
        made[name] = read_table(tmp_path / f"{name}.tsv")
    empty = {name for name, printed in made.items() if printed.empty}
    assert empty == {"qtdb_classical", "qtdb_t_subset", "leads_added"}
    for name, printed in made.items():
        needed = {"system", "trained_on", "training", "selection", "epochs", "records", "seeds"}
        assert needed | {"interval", "batch_size"} <= set(printed.columns), name
        assert {"protocol", "split"} & {*printed.columns, *TABLES[name].columns}, name
    assert not made["leads"].filter(like="aVL").empty


def test_equal_numbers_give_equal_bytes(numbers: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "a.tsv", tmp_path / "b.tsv"):
        write_table(numbers=numbers, name="martinez", table=path)
    assert (tmp_path / "a.tsv").read_bytes() == (tmp_path / "b.tsv").read_bytes()


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (lambda folder: {"name": "lost"}, ConfigError, "no table 'lost'; one of nk_and_models"),
        (lambda folder: {"numbers": written(folder)}, DataError, f"columns a, not {COLUMNS[0]}"),
    ],
)
def test_what_cannot_be_printed_is_refused(
    numbers: Path,
    tmp_path: Path,
    spoil: Callable[[Path], dict[str, Any]],
    error: type[Exception],
    words: str,
) -> None:
    how = {"numbers": numbers, "name": "martinez", "table": tmp_path / "t.tsv"} | spoil(tmp_path)
    with pytest.raises(error, match=re.escape(words)) as caught:
        write_table(**how)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "t.tsv").exists()


def written(folder: Path) -> Path:
    write_tsv(pd.DataFrame({"a": [1]}), folder / "n.tsv")
    return folder / "n.tsv"
