"""The protocol of the QTDB literature on strips with known errors."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from openecg.classical import PROTOCOL, score_classical
from openecg.errors import DataError
from openecg.files import read_tsv
from tests.unit.scored_strips import Strip, four, perfect, strip, write


def score(folder: Path, truth: list[Strip], *seeds: list[Strip]) -> pd.DataFrame:
    score_classical(
        predictions=[write(folder / f"p{i}.parquet", rows) for i, rows in enumerate(seeds)],
        shards=[write(folder / "s.parquet", truth)],
        table=folder / "classical.tsv",
        bootstrap=50,
        seed=0,
    )
    return read_tsv(folder / "classical.tsv")


def late(rows: list[Strip], *ms: float, **more: str) -> list[Strip]:
    """Predict each strip late by its own number of milliseconds."""
    return [
        perfect(
            row,
            on_ms=np.array(row["on_ms"]) + shift,
            off_ms=np.array(row["off_ms"]) + shift,
            **more,
        )
        for row, shift in zip(rows, ms, strict=True)
    ]


def two_windows() -> list[Strip]:
    return [strip(r, lead, window=w) for r in ("2", "10") for w in (0, 1) for lead in ("II", "V1")]


def test_the_better_lead_counts_and_each_record_counts_once(tmp_path: Path) -> None:
    truth = two_windows()
    # Record 2: 10 and 20 ms late in its better lead; record 10: 4 ms early, and 8 ms late.
    table = score(tmp_path, truth, late(truth, 10, 300, -90, 20, -4, -30, 8, 8))
    assert set(table["protocol"]) == {PROTOCOL}
    assert set(table["lead_group"]) == {"better"}
    assert set(table["tolerance"]) == {"400ms"}
    p_on = table[table["boundary"] == "P_on"].iloc[0]
    assert p_on["mean_ms"] == pytest.approx((15 + 2) / 2)
    assert p_on["sd_ms"] == pytest.approx((np.std([10, 20], ddof=1) + np.std([-4, 8], ddof=1)) / 2)
    assert p_on["sensitivity"] == 1
    assert p_on["n_records"] == 2
    assert 2 <= p_on["mean_ms_lo"] <= p_on["mean_ms"] <= p_on["mean_ms_hi"] <= 15


def test_a_record_with_one_point_has_no_standard_deviation_and_stays_out(tmp_path: Path) -> None:
    truth = [*two_windows()[:4], *[strip("10", lead) for lead in ("II", "V1")]]
    table = score(tmp_path, truth, late(truth, 10, 10, 20, 20, 90, 90))
    rows = table.set_index("boundary")
    assert rows.loc["P_on", ["mean_ms", "n_records"]].tolist() == [15, 1]
    assert rows.loc["QRS_on", ["mean_ms", "n_records"]].tolist() == [(15 + 90) / 2, 2]


def test_a_point_without_a_prediction_near_it_is_not_found(tmp_path: Path) -> None:
    truth = two_windows()
    table = score(tmp_path, truth, late(truth, *[10, 10, 500, 500] * 2))
    p_on = table[table["boundary"] == "P_on"].iloc[0]
    assert p_on["sensitivity"] == 0.5
    assert p_on["n_records"] == 0
    assert np.isnan(p_on["mean_ms"])


def test_seeds_have_rows_and_a_mean(tmp_path: Path) -> None:
    truth = two_windows()
    seeds = [late(truth, *[ms] * 8, seed=seed) for seed, ms in (("0", 4), ("1", 8))]
    table = score(tmp_path, truth, *seeds)
    p_on = table[table["boundary"] == "P_on"].set_index("seed")
    assert p_on["mean_ms"].to_dict() == {"0": 4, "1": 8, "mean": 6}
    assert p_on["n_seeds"].to_dict() == {"0": 1, "1": 1, "mean": 2}


def test_leads_that_are_annotated_apart_are_refused(tmp_path: Path) -> None:
    truth = four()
    truth[1]["on_ms"] = [1010.0, 1200.0, 1600.0, 1750.0]
    with pytest.raises(DataError, match="record 2 lead V1 is not marked as the first") as caught:
        score(tmp_path, truth, [perfect(row) for row in truth])
    assert "\n" not in str(caught.value)
