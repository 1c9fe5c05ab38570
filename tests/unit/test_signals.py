import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import decimate

from openecg.signals import resample, to_ms, z_score
from openecg.waves import NOT_MARKED

PAIRS = [(500.0, 250.0), (1000.0, 250.0), (360.0, 250.0), (250.0, 250.0), (128.0, 250.0)]


@pytest.mark.parametrize(("fs_in_hz", "fs_out_hz"), PAIRS)
@pytest.mark.parametrize("offset", [0, 1, 7])
def test_a_wave_stays_where_it_is(fs_in_hz: float, fs_out_hz: float, offset: int) -> None:
    n = int(10 * fs_in_hz) - offset
    time_s = np.arange(n) / fs_in_hz
    peaks_s = np.array([0.6, 2.123, 5.0, 9.3])
    signal = np.exp(-0.5 * ((time_s[:, None] - peaks_s) / 0.03) ** 2).sum(axis=1)
    moved = resample(signal, fs_in_hz=fs_in_hz, fs_out_hz=fs_out_hz)
    assert moved.size == int(np.ceil(n * fs_out_hz / fs_in_hz))
    out_s = np.arange(moved.size) / fs_out_hz
    for peak_s in peaks_s:
        near = np.abs(out_s - peak_s) < 0.1
        centre_s = np.sum(out_s[near] * moved[near]) / np.sum(moved[near])
        assert abs(centre_s - peak_s) < 0.0002
        assert 0.97 < moved[near].max() < 1.02


@pytest.mark.parametrize("fs_in_hz", [249.999999, 1e-7, 1e9 + 1])
def test_rates_that_need_a_filter_without_end_are_refused(fs_in_hz: float) -> None:
    with pytest.raises(ValueError, match="numbers up to 100000 are allowed"):
        resample(np.zeros(100), fs_in_hz=fs_in_hz, fs_out_hz=250.0)


def test_isp_stays_in_step_to_the_last_frame() -> None:
    signal = np.zeros(9999)
    signal[9900] = 1.0
    assert np.argmax(resample(signal, fs_in_hz=1000.0, fs_out_hz=250.0)) == 9900 // 4


@pytest.mark.parametrize(("fs_in_hz", "fs_out_hz"), PAIRS)
def test_a_level_keeps_its_edges(fs_in_hz: float, fs_out_hz: float) -> None:
    # The Chebyshev filter of decimate passes a level at -0.1 dB, 1.2 % low.
    moved = resample(np.full(3000, 2.0, np.float32), fs_in_hz=fs_in_hz, fs_out_hz=fs_out_hz)
    np.testing.assert_allclose(moved, 2.0, rtol=0.015)
    assert np.ptp(moved) < 0.005


def test_whole_factors_use_the_filter_of_the_specification() -> None:
    signal = np.random.default_rng(0).normal(size=5000)
    expected = decimate(signal, 2, ftype="iir", zero_phase=True)
    moved = resample(signal, fs_in_hz=500.0, fs_out_hz=250.0)
    np.testing.assert_allclose(moved, expected, atol=1e-6)


def test_equal_rates_change_nothing() -> None:
    signal = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    moved = resample(signal, fs_in_hz=250.0, fs_out_hz=250.0)
    np.testing.assert_array_equal(moved, signal)
    assert moved.dtype == np.float32


def test_what_the_new_rate_cannot_hold_is_removed() -> None:
    hum = np.sin(2 * np.pi * 200.0 * np.arange(5000) / 500.0)
    assert np.abs(resample(hum, fs_in_hz=500.0, fs_out_hz=250.0)[100:-100]).max() < 0.02


@pytest.mark.parametrize("rates", [(0.0, 250.0), (250.0, -1.0)])
def test_rates_must_be_positive(rates: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        resample(np.zeros(100), fs_in_hz=rates[0], fs_out_hz=rates[1])


def test_z_score_has_mean_0_and_deviation_1() -> None:
    signal = np.random.default_rng(0).normal(3.0, 0.5, size=(2, 2500)).astype(np.float32)
    scaled = z_score(signal)
    np.testing.assert_allclose(scaled.mean(axis=-1), 0.0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=-1), 1.0, atol=1e-5)
    np.testing.assert_array_equal(z_score(signal[1]), scaled[1])
    assert scaled.dtype == np.float32
    assert np.all(z_score(np.full(10, 4.0)) == 0.0)  # no division by zero
    expected = (0.002 - 0.001) / (0.001 + 1e-6)
    np.testing.assert_allclose(z_score(np.array([0.0, 0.002]))[1], expected, rtol=1e-6)


@given(sample=st.integers(0, 10_000_000), fs_hz=st.sampled_from([250.0, 257.0, 360.0, 1000.0]))
def test_times_are_exact_both_ways(sample: int, fs_hz: float) -> None:
    (ms, none) = to_ms(np.array([sample, NOT_MARKED]), fs_hz=fs_hz)
    assert round(ms * fs_hz / 1000) == sample
    assert ms == pytest.approx(sample / fs_hz * 1000, rel=1e-14)
    assert np.isnan(none)
    if 1000 % fs_hz == 0:
        assert ms == sample * (1000 // int(fs_hz))
