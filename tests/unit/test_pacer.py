from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from openecg.pacer import detect_spikes

RATES = [250.0, 500.0, 1000.0]


def smooth_beats(fs_hz: float) -> npt.NDArray[np.float64]:
    """Ten seconds of round 1 mV bumps of 80 ms, once a second, in 5 uV noise."""
    t = np.arange(round(10 * fs_hz)) / fs_hz
    noise = 0.005 * np.random.default_rng(1).normal(size=t.size)
    bumps: npt.NDArray[np.float64] = np.exp(-(((t % 1 - 0.5) / 0.02) ** 2)) + noise
    return bumps


@pytest.mark.parametrize("fs_hz", [500.0, 1000.0])
def test_spikes_are_found_at_their_sample(fs_hz: float) -> None:
    signal = smooth_beats(fs_hz)
    where = np.rint((np.arange(1, 9) + 0.3) * fs_hz).astype(np.int64)
    signal[where] += 1.5
    found = detect_spikes(signal, fs_hz=fs_hz)
    assert found.dtype == np.int64
    assert found.tolist() == where.tolist()


@pytest.mark.parametrize("fs_hz", RATES)
def test_smooth_beats_hold_none(fs_hz: float) -> None:
    assert detect_spikes(smooth_beats(fs_hz), fs_hz=fs_hz).size == 0


def test_spikes_under_a_tenth_of_a_mv_do_not_count() -> None:
    signal = np.zeros(5000)
    signal[2500] = 0.09
    assert detect_spikes(signal, fs_hz=500).size == 0
    signal[2500] = 0.3
    assert detect_spikes(signal, fs_hz=500).tolist() == [2500]


def test_noise_holds_next_to_none() -> None:
    """Its peaks pass 0.1 mV by the hundred but hardly ever five of its own SD."""
    noise = 0.2 * np.random.default_rng(1).normal(size=5000)
    assert detect_spikes(noise, fs_hz=500).size <= 1


def test_at_250_hz_one_sample_is_too_wide() -> None:
    """A limit of detector 1.0, kept as it is."""
    signal = np.zeros(2500)
    signal[1250] = 1.5
    assert detect_spikes(signal, fs_hz=250).size == 0


def test_of_two_spikes_in_5_ms_the_larger_counts() -> None:
    signal = np.zeros(5000)
    signal[2500], signal[2504] = 1.0, 2.0
    assert detect_spikes(signal, fs_hz=500).tolist() == [2504]


@pytest.mark.parametrize("n_samples", [0, 1, 15])
def test_a_strip_too_short_for_the_filter_holds_none(n_samples: int) -> None:
    assert detect_spikes(np.ones(n_samples), fs_hz=500).size == 0


def test_rates_below_the_filter_are_refused() -> None:
    with pytest.raises(ValueError, match="exceed 160 Hz, got 128"):
        detect_spikes(np.zeros(1000), fs_hz=128)


@pytest.mark.real
def test_published_figures_on_ludb(real_zip: Callable[[str], Path]) -> None:
    """All 10 paced records have spikes; 8.07 false ones on the first 30 without a pacemaker."""
    from openecg.archive import Archive
    from openecg.datasets.ludb import list_records, read_record

    with Archive(real_zip("ludb")) as archive:
        records = sorted(list_records(archive), key=lambda info: int(info.record_id))
        counts: dict[bool, list[list[int]]] = {True: [], False: []}
        for info in records:
            if info.paced or len(counts[False]) < 30:
                record = read_record(archive, info.record_id)
                counts[info.paced].append(
                    [detect_spikes(lead.signal, fs_hz=500).size for lead in record.leads]
                )
    paced = np.array(counts[True])
    assert paced.shape == (10, 12)
    assert (paced > 0).any(axis=1).all()
    assert (paced > 0).sum(axis=1).mean() == pytest.approx(9.4, abs=0.05)
    assert np.array(counts[False]).sum(axis=1).mean() == pytest.approx(8.07, abs=0.005)
