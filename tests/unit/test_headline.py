"""The headline of a run, as plain text."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from openecg.errors import DataError
from openecg.files import write_tsv
from openecg.headline import headline, print_headline
from tests.unit.made_up_numbers import LUDB, MADE_UP, boundary_scores, frame_scores

SYSTEMS = {"nk_dwt": "", "F": "0"}


def scores(dataset: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    frames = frame_scores(dataset, systems=SYSTEMS)
    return frames, boundary_scores(dataset, systems=SYSTEMS)


def test_the_headline_fits_a_terminal() -> None:
    frames, boundaries = scores(MADE_UP)
    boundaries = boundaries[boundaries["record_group"] == "all"]
    for table in (frames, boundaries):
        table["system"] = table["system"].replace("F", "a_setting_with_a_name_" + 50 * "x")
    frames.loc[frames["wave"] == "P", "f1"] = np.nan
    lines = headline(frames, boundaries).splitlines()
    assert max(map(len, lines)) <= 80
    assert any("simulated data" in line for line in lines)
    (nk,) = [line.split() for line in lines if "nk_dwt" in line]
    assert nk == ["nk_dwt", "-", "0.600", "0.600", "0.740", "[0.700,", "0.900]"]


def test_the_mean_of_several_seeds_is_printed_with_the_place_of_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, table in zip(("frames", "boundaries"), scores(LUDB), strict=True):
        mean = table[table["system"] == "F"].assign(seed="mean", n_seeds=2)
        write_tsv(pd.concat([table, mean]), tmp_path / name)
    print_headline(
        frames=tmp_path / "frames", boundaries=tmp_path / "boundaries", report=tmp_path / "r.html"
    )
    printed = capsys.readouterr().out
    assert f"Report: {tmp_path / 'r.html'}" in printed
    assert "ludb, validation split, 41 records" in printed
    assert "F, mean of seeds" in printed
    assert "F, seed" not in printed


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    for name, table in zip(("frames", "boundaries"), scores(LUDB), strict=True):
        write_tsv(table.iloc[:0], tmp_path / name)
    with pytest.raises(DataError, match="frames: no rows"):
        print_headline(
            frames=tmp_path / "frames",
            boundaries=tmp_path / "boundaries",
            report=tmp_path / "r.html",
        )
