import logging
import warnings
from typing import Any

import neurokit2 as nk
import numpy as np
import numpy.typing as npt
import pytest

from openecg import delineate as module
from openecg.delineate import COLUMNS, METHODS, NO_BEAT, delineate

FS_HZ = 500


@pytest.fixture(scope="module")
def strip() -> npt.NDArray[np.float32]:
    """Six seconds of made-up ECG with beats at known places: nk's own simulator."""
    signal = nk.ecg_simulate(
        duration=6, sampling_rate=FS_HZ, heart_rate=70, noise=0.01, method="ecgsyn", random_state=3
    )
    return np.asarray(signal, dtype=np.float32)


@pytest.mark.parametrize("method", METHODS)
def test_every_array_has_one_entry_per_beat(strip: npt.NDArray[np.float32], method: str) -> None:
    beats = delineate(strip, fs_hz=FS_HZ, method=method)
    assert beats.error is None
    assert 5 <= beats.n_beats <= 8
    for name in COLUMNS:
        values = getattr(beats, name)
        assert values.shape == (beats.n_beats,), name
        assert values.dtype == np.float64
    missing = {name for name in COLUMNS if np.isnan(getattr(beats, name)).all()}
    assert missing == set()


def test_waves_of_method_peak_are_closed_by_symmetry(strip: npt.NDArray[np.float32]) -> None:
    beats = delineate(strip, fs_hz=FS_HZ, method="peak")
    np.testing.assert_array_equal(beats.p_off - beats.p_peak, beats.p_peak - beats.p_on)
    np.testing.assert_array_equal(beats.t_off - beats.t_peak, beats.t_peak - beats.t_on)
    np.testing.assert_array_equal(beats.r_on, beats.q_peak)
    np.testing.assert_array_equal(beats.r_off, beats.s_peak)


@pytest.mark.parametrize("method", METHODS)
def test_entries_belong_to_their_beat(strip: npt.NDArray[np.float32], method: str) -> None:
    beats = delineate(strip, fs_hz=FS_HZ, method=method)
    half_rr = np.diff(beats.r_peak).mean() * 0.75
    for peaks, side in (
        (beats.p_peak, -1),
        (beats.q_peak, -1),
        (beats.s_peak, 1),
        (beats.t_peak, 1),
    ):
        away = side * (peaks - beats.r_peak)
        away = away[~np.isnan(away)]
        assert away.size >= beats.n_beats - 2
        assert away.min() > 0
        assert away.max() < half_rr


@pytest.mark.parametrize("method", METHODS)
def test_equal_inputs_give_equal_results(strip: npt.NDArray[np.float32], method: str) -> None:
    first = delineate(strip, fs_hz=FS_HZ, method=method)
    again = delineate(strip, fs_hz=FS_HZ, method=method)
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))


def test_lists_that_miss_beats_are_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    """A P wave is missing in the first beats, a T wave in the last."""
    answer = {
        "ECG_P_Peaks": [150.0, np.nan],
        "ECG_T_Peaks": [130, 230],
        "ECG_Q_Peaks": [95, 195, 295],
    }
    monkeypatch.setattr(
        nk, "ecg_peaks", lambda *a, **k: ({}, {"ECG_R_Peaks": np.array([100, 200, 300])})
    )
    monkeypatch.setattr(nk, "ecg_delineate", lambda *a, **k: ({}, answer))
    beats = delineate(np.zeros(400), fs_hz=FS_HZ, method="cwt")
    np.testing.assert_array_equal(beats.p_peak, [np.nan, 150, np.nan])
    np.testing.assert_array_equal(beats.t_peak, [130, 230, np.nan])
    np.testing.assert_array_equal(beats.q_peak, [95, 195, 295])
    np.testing.assert_array_equal(beats.t_on, [np.nan] * 3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_dead_lead_gives_no_beat_and_a_reason(value: float, method: str) -> None:
    beats = delineate(np.full(2000, value), fs_hz=FS_HZ, method=method)
    assert beats.n_beats == 0
    assert beats.error
    assert beats.t_off.size == 0


def test_what_neurokit_raises_becomes_one_line(
    strip: npt.NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise IndexError("first\n  second line")

    monkeypatch.setattr(nk, "ecg_delineate", fail)
    beats = delineate(strip, fs_hz=FS_HZ, method="dwt")
    assert beats.error == "IndexError: first second line"
    assert beats.n_beats == 0
    assert delineate(np.zeros(2000), fs_hz=FS_HZ, method="dwt").error == NO_BEAT


def test_what_we_do_wrong_keeps_its_traceback(
    strip: npt.NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "COLUMNS", {"p_on": ["not", "a", "key"]})
    with pytest.raises(TypeError):
        delineate(strip, fs_hz=FS_HZ, method="prominence")


def test_neurokit_warnings_stay_inside(strip: npt.NDArray[np.float32], caplog: Any) -> None:
    with warnings.catch_warnings(record=True) as seen, caplog.at_level(logging.WARNING):
        warnings.simplefilter("always")
        delineate(np.full(2000, np.nan), fs_hz=FS_HZ, method="clean_prominence")
        assert not seen
        warnings.warn("others are heard", UserWarning, stacklevel=1)
    assert len(seen) == 1


def test_clean_prominence_filters_first(strip: npt.NDArray[np.float32]) -> None:
    hum = strip + 0.1 * np.sin(np.arange(strip.size) / FS_HZ * 2 * np.pi * 50).astype(np.float32)
    cleaned = delineate(hum, fs_hz=FS_HZ, method="clean_prominence")
    by_hand = nk.ecg_clean(hum.astype(np.float64), sampling_rate=FS_HZ)
    expected = delineate(by_hand, fs_hz=FS_HZ, method="prominence")
    np.testing.assert_array_equal(cleaned.p_on, expected.p_on)
    raw = delineate(hum, fs_hz=FS_HZ, method="prominence")
    assert not np.array_equal(cleaned.p_on, raw.p_on)


@pytest.mark.parametrize(
    ("fs_hz", "method", "message"),
    [
        (500, "DWT", "unknown delineation method 'DWT'"),
        (128.5, "dwt", "128.5"),
        (0, "dwt", "got 0"),
    ],
)
def test_bad_settings_are_refused(fs_hz: float, method: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        delineate(np.zeros(2000), fs_hz=fs_hz, method=method)
