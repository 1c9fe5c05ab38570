"""Pacemaker spikes by coincidence over leads, and the table that judges them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openecg.errors import DataError
from openecg.files import read_parquet, read_tsv, write_parquet
from openecg.index import index_records
from openecg.leads import LEADS
from openecg.pacing import (
    THRESHOLDS,
    Conditions,
    _heights,
    _largest_around,
    _surround,
    conditions_of,
    detect_pacing,
)
from openecg.pacing_table import (
    _drawn_leads,
    _read_records,
    _selection,
    _slowed,
    conditions_met,
    deal_folds,
    score_pacing,
    select_thresholds,
    time_spikes,
    try_grid,
)
from openecg.records import read_records
from openecg.simulation import KINDS, Kind, simulate_strip
from openecg.simulation import Strip as SimulatedStrip
from openecg.tokens import write_tokens

RATES = [250.0, 500.0, 1000.0]
PACED = next(kind for kind in KINDS if kind.qrs == "paced")


def strip(kind: Kind = PACED, fs_hz: float = 500.0, seed: int = 1) -> SimulatedStrip:
    return simulate_strip(
        kind,
        leads=LEADS,
        fs_hz=fs_hz,
        n_samples=round(10 * fs_hz),
        scatter=True,
        rng=np.random.default_rng(seed),
    )


@pytest.mark.parametrize("fs_hz", RATES)
@pytest.mark.parametrize("seed", range(3))
def test_simulated_spikes_are_found_where_they_are(fs_hz: float, seed: int) -> None:
    made = strip(fs_hz=fs_hz, seed=seed)
    found = detect_pacing(made.signal, fs_hz=fs_hz)
    assert found.paced
    assert found.spikes.dtype == np.int64
    # A spike at the very end has no beat behind it.
    late_ms = (found.spikes[:, None] / fs_hz - made.spikes_s[None]) * 1000
    nearest_ms = np.abs(late_ms).min(axis=1)
    assert nearest_ms.max() < 500 / fs_hz + 0.1
    assert found.spikes.size >= made.spikes_s.size - 1
    assert found.leads.shape == (found.spikes.size, 12)
    assert (found.leads.sum(axis=1) >= 4).all()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.qrs != "paced"], ids=str)
def test_unpaced_strips_hold_none(kind: Kind) -> None:
    for seed in range(3):
        found = detect_pacing(strip(kind, seed=seed).signal, fs_hz=500)
        assert not found.paced
        assert found.spikes.size == 0
        assert found.leads.shape == (0, 12)


def test_muscle_noise_holds_none() -> None:
    noise = 0.1 * np.random.default_rng(1).normal(size=(12, 5000))
    assert not detect_pacing(noise, fs_hz=500).paced


def test_the_order_of_the_leads_does_not_matter() -> None:
    signal = strip().signal
    order = np.random.default_rng(0).permutation(12)
    first, again = (detect_pacing(x, fs_hz=500) for x in (signal, signal[order]))
    np.testing.assert_array_equal(first.spikes, again.spikes)
    np.testing.assert_array_equal(first.leads[:, order], again.leads)


def test_a_baseline_and_a_sign_do_not_matter() -> None:
    signal = strip().signal
    first, again = (detect_pacing(x, fs_hz=500) for x in (signal, 0.7 - signal))
    np.testing.assert_array_equal(first.spikes, again.spikes)


@pytest.mark.parametrize("n_leads", [1, 2, 3])
def test_few_leads_are_enough_at_500_hz(n_leads: int) -> None:
    made = strip()
    found = detect_pacing(made.signal[1 : 1 + n_leads], fs_hz=500)
    assert found.paced
    late_s = found.spikes[:, None] / 500 - made.spikes_s[None]
    assert np.abs(late_s).min(axis=1).max() < 0.002


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_dead_leads_show_nothing_and_hide_nothing(value: float) -> None:
    """Leads that lack a sample count as dead, and dead ones as leads that are not there."""
    signal = strip().signal.copy()
    for dead in ([0, 5], list(range(1, 12))):
        broken = signal.copy()
        broken[dead] = value
        if value != 0:
            broken[dead, :-1] = signal[dead, :-1]
        found = detect_pacing(broken, fs_hz=500)
        assert found.paced
        assert not found.leads[:, dead].any()
        alone = detect_pacing(np.delete(signal, dead, axis=0), fs_hz=500)
        np.testing.assert_array_equal(found.spikes, alone.spikes)


@pytest.mark.parametrize(
    ("n_live", "fs_hz", "conditions"),
    [(12, 500, (9, 500)), (8, 1000, (3, 500)), (2, 360, (1, 250)), (0, 250, (1, 250))],
)
def test_thresholds_follow_the_live_leads_and_the_rate(
    n_live: int, fs_hz: float, conditions: tuple[int, float]
) -> None:
    assert conditions_of(n_live, fs_hz) == conditions


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(0, 12), st.integers(0, 2**32 - 1))
def test_the_largest_around_is_looked_for_on_both_sides_alike(
    inner: int, more: int, seed: int
) -> None:
    """Windows of even width too, as at 400 Hz."""
    height = np.random.default_rng(seed).random(60)
    outer = inner + more
    expected = [
        max(
            [
                0,
                *height[max(0, i - outer) : max(0, i - inner + 1)],
                *height[i + inner :][: more + 1],
            ]
        )
        for i in range(60)
    ]
    assert _largest_around(height, inner, outer).tolist() == expected


def test_a_spike_is_as_sharp_in_a_strip_turned_around() -> None:
    """At 400 Hz the surroundings are of even width."""
    signal = strip(fs_hz=400.0).signal
    height = _heights(signal, 1).mean(axis=0)
    inner, outer = _surround(400.0)
    assert (outer - inner + 1) % 2 == 0
    forth = _largest_around(height, inner, outer)
    back = _largest_around(height[::-1].copy(), inner, outer)[::-1]
    np.testing.assert_array_equal(forth, back)


def test_spikes_without_beats_behind_them_are_no_pacing() -> None:
    """Interference: as sharp as spikes, but tied to no beat."""
    made = strip(next(kind for kind in KINDS if kind.qrs == "narrow" and kind.atria == "sinus"))
    at = np.random.default_rng(3).integers(200, 4800, 4)
    signal = made.signal.copy()
    signal[:, at] += 1.0
    assert not detect_pacing(signal, fs_hz=500).paced


@pytest.mark.parametrize("shape", [(12, 0), (12, 100), (0, 5000), (12, 5000)])
def test_strips_with_nothing_to_see_hold_none(shape: tuple[int, int]) -> None:
    found = detect_pacing(np.zeros(shape), fs_hz=500)
    assert not found.paced
    assert found.leads.shape == (0, shape[0])


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 250 Hz, got 128"):
        detect_pacing(np.zeros((12, 5000)), fs_hz=128)
    with pytest.raises(ValueError, match=r"shape \(leads, samples\)"):
        detect_pacing(np.zeros(5000), fs_hz=500)


def records(folder: Path, chosen: list[tuple[str, Kind]], fs_hz: float = 500.0) -> Path:
    rows = [
        {"dataset": "simulated_ludb", "record_id": record_id, "lead": lead, "split": "train"}
        | {"paced": kind is PACED, "fs_hz": fs_hz, "signal": signal.astype(np.float32)}
        for seed, (record_id, kind) in enumerate(chosen)
        for lead, signal in zip(LEADS, strip(kind, fs_hz, seed=seed).signal, strict=True)
    ]
    path = folder / "records.parquet"
    write_parquet(pa.Table.from_pylist(rows), path)
    return path


def run(folder: Path, paths: list[Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    table, answers = folder / "pacing.tsv", folder / "answers.tsv"
    score_pacing(records=paths, folds=2, seed=0, table=table, answers=answers)
    return read_tsv(table), read_tsv(answers)


def test_the_table_counts_records_spikes_and_leads(tmp_path: Path) -> None:
    plain = next(kind for kind in KINDS if kind.qrs == "narrow")
    chosen = [(str(n), PACED if n % 2 else plain) for n in range(1, 9)]
    rows, answers = run(tmp_path, [records(tmp_path, chosen)])
    # What is cross-validated comes first.
    assert list(rows["detector"].unique()) == ["coincidence_cv", "coincidence", "high_pass"]
    assert list(rows["selection"].unique()) == ["other folds", "other data"]
    assert set(rows["leads"]) == {"all", "II", "II + V1", "each alone"}
    assert set(rows["fs_hz"]) == {500, 250}
    ours = rows.query("detector == 'coincidence' and leads == 'all' and fs_hz == 500").iloc[0]
    assert (ours["n_found"], ours["n_paced"], ours["n_false"], ours["n_unpaced"]) == (4, 4, 0, 4)
    assert ours["spikes_per_10_s"] == 0
    assert 4 <= ours["mean_leads"] <= 12
    # Wilson: of 4 of 4 the lower end is 4 / (4 + 1.96^2).
    assert ours["sensitivity_lo"] == pytest.approx(4 / (4 + 1.959964**2), abs=1e-5)
    alone = rows.query("leads == 'each alone'")
    assert (alone["n_unpaced"].max(), alone["n_paced"].max()) == (48, 48)
    assert alone[["sensitivity_lo", "false_share_hi"]].isna().all(axis=None)

    assert answers["record_id"].tolist() == [record_id for record_id, _ in chosen]
    assert answers["paced"].tolist() == [kind is PACED for _, kind in chosen]
    assert answers["shipped_answer"].tolist() == answers["paced"].tolist()
    assert sorted(answers["fold"]) == [0] * 4 + [1] * 4
    assert (answers["n_spikes"] > 0).tolist() == answers["answer"].tolist()
    assert (answers["n_leads"] > 0).tolist() == answers["answer"].tolist()


@pytest.mark.parametrize(
    ("dataset", "split", "selection"),
    [
        ("ludb", "train", "in sample"),
        ("ludb", "validation", "held out"),
        ("simulated_ludb", "train", "other data"),
    ],
)
def test_rows_say_how_the_shipped_thresholds_know_their_records(
    dataset: str, split: str, selection: str
) -> None:
    assert _selection("coincidence", dataset, split) == selection
    assert _selection("coincidence_cv", dataset, "all") == "other folds"


def test_folds_hold_paced_and_unpaced_records_alike() -> None:
    fold = deal_folds([True] * 10 + [False] * 40, folds=5, seed=0)
    assert np.bincount(fold[:10]).tolist() == [2] * 5
    assert np.bincount(fold[10:]).tolist() == [8] * 5


def test_leads_are_drawn_as_the_conditions_say() -> None:
    rng = np.random.default_rng(0)
    assert _drawn_leads(12, Conditions(9, 500.0), rng) == [list(range(12))]
    assert {len(rows) for rows in _drawn_leads(12, Conditions(3, 500.0), rng)} <= set(range(3, 9))
    few = _drawn_leads(12, Conditions(1, 500.0), rng)
    assert few[:12] == [[row] for row in range(12)]
    assert {len(rows) for rows in few[12:]} == {2}
    assert _drawn_leads(2, Conditions(3, 500.0), rng) == []
    assert _drawn_leads(1, Conditions(1, 500.0), rng)[0] == [0]


def test_a_data_set_without_paced_records_has_empty_cells(tmp_path: Path) -> None:
    rows, _ = run(tmp_path, [records(tmp_path, [("1", KINDS[0]), ("2", KINDS[0])])])
    rows = rows.query("group == 'all' and leads == 'all'")
    assert rows[["sensitivity", "mean_leads"]].isna().all(axis=None)
    assert (rows["n_unpaced"] == 2).all()


def test_no_records_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no record in no file"):
        run(tmp_path, [])


def test_a_slow_record_is_refused_by_name(tmp_path: Path) -> None:
    path = records(tmp_path, [("7", KINDS[0])], fs_hz=200.0)
    with pytest.raises(DataError, match=r"records.parquet, record 7: sampling rate 200 Hz; at lea"):
        run(tmp_path, [path])


def test_simulated_spikes_are_timed_to_half_a_sample(tmp_path: Path) -> None:
    """The truth lies on no grid: errors spread evenly over half a sample to either side."""
    time_spikes(seed=0, table=tmp_path / "timing.tsv")
    table = read_tsv(tmp_path / "timing.tsv")
    assert table["detector"].tolist() == ["coincidence"] * 6 + ["high_pass"] * 6
    ours = table[table["detector"] == "coincidence"]
    step_ms = 1000 / ours["fs_hz"]
    assert (ours["spike_sensitivity"] > 0.95).all()
    assert (ours["spike_ppv"] > 0.98).all()
    assert ours["sd_ms"].to_numpy() == pytest.approx(step_ms.to_numpy() / np.sqrt(12), rel=0.1)
    assert (ours["mean_ms"].abs() < 0.1).all()
    # The reference detector takes a spike at 250 Hz for too wide.
    slow = table.query("detector == 'high_pass' and fs_hz == 250")
    assert (slow["spike_sensitivity"] < 0.1).all()


@pytest.mark.real
@pytest.mark.slow
def test_figures_on_ludb(
    real_zip: Callable[[str], Path], tmp_path: Path, make_records: Callable[[Path, Path], Path]
) -> None:
    path = make_records(real_zip("ludb"), tmp_path)
    table, answers = tmp_path / "pacing.tsv", tmp_path / "answers.tsv"
    score_pacing(records=[path], folds=5, seed=0, table=table, answers=answers)
    rows = read_tsv(table).set_index(["detector", "leads", "fs_hz", "group"])
    everyone = rows.loc["coincidence_cv", "all", 500, "all"]
    assert (everyone["n_paced"], everyone["n_unpaced"]) == (10, 190)
    assert everyone["n_found"] >= 9
    assert everyone["n_false"] <= 2
    assert everyone["spikes_per_10_s"] < 0.5
    slow = rows.loc["coincidence_cv", "all", 250, "all"]
    assert slow["n_found"] >= 9
    assert slow["n_false"] <= 2
    alone = rows.loc["coincidence_cv", "each alone", 500, "all"]
    assert alone["n_unpaced"] == 2280
    assert alone["n_false"] <= 23  # 1 %
    original = rows.sort_index().loc["high_pass", "all", 500]
    assert original.loc["all", "n_found"] == 10
    assert original.loc["all", "mean_leads"] == pytest.approx(9.4, abs=0.05)
    assert original.loc["all", "spikes_per_10_s"] == pytest.approx(4.84, abs=0.005)
    assert original.loc["first 30 unpaced", "spikes_per_10_s"] == pytest.approx(8.07, abs=0.005)
    assert read_tsv(answers).groupby("paced")["answer"].sum().tolist() == [
        everyone["n_false"],
        everyone["n_found"],
    ]


@pytest.mark.real
@pytest.mark.slow
def test_shipped_thresholds_are_those_selected_on_the_training_records(
    real_zip: Callable[[str], Path], tmp_path: Path, make_records: Callable[[Path, Path], Path]
) -> None:
    read = _read_records(make_records(real_zip("ludb"), tmp_path))
    train = np.array([record.split == "train" for record in read])
    assert train.sum() == 159
    for at_rate in (read, [_slowed(record) for record in read]):
        kinds = [(len(record.leads), record.fs_hz) for record in at_rate]
        for conditions in conditions_met(kinds):
            trials = try_grid(at_rate, conditions, seed=0).of(train)
            assert select_thresholds(trials) == THRESHOLDS[conditions], conditions


@pytest.mark.real
@pytest.mark.slow
def test_figures_on_windows_of_qtdb(real_zip: Callable[[str], Path], tmp_path: Path) -> None:
    """Two leads at 250 Hz, on which nothing was selected; sel102 and sel104 are paced."""
    index, path = tmp_path / "index.parquet", tmp_path / "records.parquet"
    archive = real_zip("qtdb")
    index_records(
        archive=archive,
        sha256="",
        dataset="qtdb",
        layout="qtdb",
        parts=1,
        split="record",
        held_out="test",
        fraction=0.2,
        seed=42,
        index=index,
    )
    read_records(archive=archive, index=index, layout="qtdb", part=0, records=path)
    write_tokens(
        records=path,
        tokens=tmp_path / "tokens.parquet",
        stream="mine",
        method="prominence",
        pacer="coincidence",
        grid="nearest",
        window_s=10,
        windows='{"rule": "cover"}',
    )
    read = ["record_id", "window", "paced"]
    windows = read_parquet(tmp_path / "tokens.parquet", columns=read).to_pandas()
    windows = windows.drop_duplicates(["record_id", "window"]).set_index("record_id")["paced"]
    assert windows.size == 506
    assert windows["sel104"].mean() == 1
    assert not windows["sel102"].any()
    assert not windows.drop(["sel102", "sel104"]).any()
