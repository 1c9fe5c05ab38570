"""Pacemaker spikes by coincidence over leads, and the table that judges them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from openecg.errors import DataError
from openecg.files import read_tsv, write_parquet
from openecg.leads import LEADS
from openecg.pacing import THRESHOLDS, detect_pacing, find_candidates
from openecg.pacing_table import Strip, score_pacing, select_thresholds, time_spikes
from openecg.simulation import KINDS, Kind, simulate_strip
from openecg.simulation import Strip as SimulatedStrip

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
    assert set(found.spikes) <= set(made.spikes)
    assert found.spikes.size >= made.spikes.size - 1
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


@pytest.mark.parametrize("n_leads", [1, 2])
def test_few_leads_are_enough(n_leads: int) -> None:
    made = strip()
    found = detect_pacing(made.signal[1 : 1 + n_leads], fs_hz=500)
    assert found.paced
    assert set(found.spikes) <= set(made.spikes)


def test_dead_leads_show_nothing_and_hide_nothing() -> None:
    signal = strip().signal.copy()
    signal[[0, 5]] = 0
    found = detect_pacing(signal, fs_hz=500)
    assert found.paced
    assert not found.leads[:, [0, 5]].any()


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


def records(folder: Path, chosen: list[tuple[str, Kind]]) -> Path:
    rows = [
        {"dataset": "simulated_ludb", "record_id": record_id, "lead": lead, "split": "train"}
        | {"paced": kind is PACED, "fs_hz": 500.0, "signal": signal.astype(np.float32)}
        for seed, (record_id, kind) in enumerate(chosen)
        for lead, signal in zip(LEADS, strip(kind, seed=seed).signal, strict=True)
    ]
    path = folder / "records.parquet"
    write_parquet(pa.Table.from_pylist(rows), path)
    return path


def test_the_table_counts_records_spikes_and_leads(tmp_path: Path) -> None:
    plain = next(kind for kind in KINDS if kind.qrs == "narrow")
    chosen = [(str(n), PACED if n % 2 else plain) for n in range(1, 9)]
    table = tmp_path / "pacing.tsv"
    score_pacing(records=[records(tmp_path, chosen)], folds=2, seed=0, table=table)
    rows = read_tsv(table)
    assert list(rows["detector"].unique()) == ["high_pass", "coincidence", "coincidence_cv"]
    ours = rows.query("detector == 'coincidence' and group == 'all'").iloc[0]
    assert (ours["n_found"], ours["n_paced"], ours["n_false"], ours["n_unpaced"]) == (4, 4, 0, 4)
    assert ours["spikes_per_10_s"] == 0
    assert 4 <= ours["mean_leads"] <= 12
    # Wilson: of 4 of 4 the lower end is 4 / (4 + 1.96^2).
    assert ours["sensitivity_lo"] == pytest.approx(4 / (4 + 1.959964**2), abs=1e-5)
    assert set(rows.loc[rows["dataset"] == "simulated", "group"]) == {
        f"simulated spikes at {fs_hz:g} Hz" for fs_hz in RATES
    }


def test_a_data_set_without_paced_records_has_empty_cells(tmp_path: Path) -> None:
    path = records(tmp_path, [("1", KINDS[0]), ("2", KINDS[0])])
    score_pacing(records=[path], folds=2, seed=0, table=tmp_path / "pacing.tsv")
    rows = read_tsv(tmp_path / "pacing.tsv").query("group == 'all'")
    assert rows[["sensitivity", "mean_leads"]].isna().all(axis=None)
    assert (rows["n_unpaced"] == 2).all()


def test_no_records_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no record in no file"):
        score_pacing(records=[], folds=2, seed=0, table=tmp_path / "pacing.tsv")


def test_timing_of_simulated_spikes_is_exact() -> None:
    rows = {(row["detector"], row["group"]): row for row in time_spikes(0)}
    for fs_hz in RATES:
        row = rows["coincidence", f"simulated spikes at {fs_hz:g} Hz"]
        assert row["spike_sensitivity"] > 0.98
        assert row["spike_ppv"] == 1
        assert row["p95_ms"] == 0
    # The reference detector takes one sample at 250 Hz for too wide.
    assert rows["high_pass", "simulated spikes at 250 Hz"]["n_called"] == 0


@pytest.mark.real
@pytest.mark.slow
def test_figures_on_ludb(
    real_zip: Callable[[str], Path], tmp_path: Path, make_records: Callable[[Path, Path], Path]
) -> None:
    path = make_records(real_zip("ludb"), tmp_path)
    score_pacing(records=[path], folds=5, seed=0, table=tmp_path / "pacing.tsv")
    rows = read_tsv(tmp_path / "pacing.tsv").set_index(["detector", "group"])
    everyone = rows.loc["coincidence_cv", "all"]
    assert (everyone["n_paced"], everyone["n_unpaced"]) == (10, 190)
    assert everyone["n_found"] >= 9
    assert everyone["n_false"] <= 2
    assert everyone["spikes_per_10_s"] < 0.5
    original = rows.loc["high_pass"]
    assert original.loc["all", "n_found"] == 10
    assert original.loc["all", "mean_leads"] == pytest.approx(9.4, abs=0.05)
    assert original.loc["all", "spikes_per_10_s"] == pytest.approx(4.84, abs=0.005)
    assert original.loc["first 30 unpaced", "spikes_per_10_s"] == pytest.approx(8.07, abs=0.005)


@pytest.mark.real
@pytest.mark.slow
def test_shipped_thresholds_are_those_selected_on_the_training_records(
    real_zip: Callable[[str], Path], tmp_path: Path, make_records: Callable[[Path, Path], Path]
) -> None:
    from openecg.files import read_parquet

    table = read_parquet(make_records(real_zip("ludb"), tmp_path)).to_pandas()
    nothing: npt.NDArray[np.int64] = np.zeros(12, dtype=np.int64)
    strips = [
        Strip(
            record_id=str(record_id),
            split="train",
            paced=bool(leads["paced"].iloc[0]),
            seconds=10,
            candidates=find_candidates(np.stack(list(leads["signal"])), fs_hz=500),
            high_pass=nothing,
        )
        for record_id, leads in table[table["split"] == "train"].groupby("record_id", sort=False)
    ]
    assert len(strips) == 159
    assert select_thresholds(strips) == THRESHOLDS
