"""Wave boundaries from NeuroKit, as one array per boundary."""

import warnings
from dataclasses import dataclass
from typing import Any

import neurokit2 as nk
import numpy as np
import numpy.typing as npt

METHODS = ("dwt", "cwt", "peak", "prominence", "clean_prominence")
NO_BEAT = "no R peak found"

COLUMNS = {
    "p_on": "ECG_P_Onsets",
    "p_peak": "ECG_P_Peaks",
    "p_off": "ECG_P_Offsets",
    "q_peak": "ECG_Q_Peaks",
    "r_on": "ECG_R_Onsets",
    "r_peak": "ECG_R_Peaks",
    "r_off": "ECG_R_Offsets",
    "s_peak": "ECG_S_Peaks",
    "t_on": "ECG_T_Onsets",
    "t_peak": "ECG_T_Peaks",
    "t_off": "ECG_T_Offsets",
}
"""NeuroKit's name of each array."""

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Delineation:
    """Boundaries and peaks of the beats of one lead.

    Attributes
    ----------
    p_on, p_peak, p_off, q_peak, r_on, r_peak, r_off, s_peak, t_on, t_peak, t_off : ndarray
        Shape (n_beats,), dtype float64: samples counted from 0, NaN where NeuroKit gives none.
        ``r_on`` and ``r_off`` are the ends of the whole QRS complex.
    error : str or None
        Why there is no beat; ``None`` if there is one.
    """

    p_on: FloatArray
    p_peak: FloatArray
    p_off: FloatArray
    q_peak: FloatArray
    r_on: FloatArray
    r_peak: FloatArray
    r_off: FloatArray
    s_peak: FloatArray
    t_on: FloatArray
    t_peak: FloatArray
    t_off: FloatArray
    error: str | None

    @property
    def n_beats(self) -> int:
        """How many beats were found."""
        return self.r_peak.size


def delineate(signal: npt.NDArray[np.floating], *, fs_hz: float, method: str) -> Delineation:
    """Delineate one lead with NeuroKit.

    Parameters
    ----------
    signal : ndarray of shape (n_samples,), floating
        One lead in mV, as recorded.
    fs_hz : float
        Sampling rate in Hz; NeuroKit takes whole rates only.
    method : str
        One of ``METHODS``. ``clean_prominence`` filters the lead with ``nk.ecg_clean`` first; the
        others work on the raw signal, as the reference system does.

    Returns
    -------
    Delineation
        Without beats, and with the reason in ``error``, where NeuroKit raises or finds no beat.

    Raises
    ------
    ValueError
        If ``method`` is unknown or the sampling rate is not a positive whole number.

    Notes
    -----
    NeuroKit 0.2.13 leaves out the values of some beats: positions of 0 or less, which are in the
    first beats; with cwt also the P wave of the first beat and the T wave of the last one. So short
    lists end with the last beat, except those of the T wave, which start with the first. The
    reference system counts all lists from the first beat, which mixes up beats. Method ``peak``
    gives neither QRS ends nor P offsets nor T onsets: there the QRS goes from the Q to the S peak,
    and P and T are taken to be symmetric about their peaks.
    """
    if method not in METHODS:
        raise ValueError(f"unknown delineation method {method!r}; one of {', '.join(METHODS)}")
    if fs_hz <= 0 or fs_hz != int(fs_hz):
        raise ValueError(f"sampling rate must be a positive whole number of Hz, got {fs_hz}")
    waves, error = _ask_neurokit(signal.astype(np.float64), int(fs_hz), method)
    n_beats = len(waves.get("ECG_R_Peaks", []))
    columns = {}
    for name, key in COLUMNS.items():
        values = np.asarray(waves.get(key, []), dtype=np.float64)
        lost = np.full(n_beats - values.size, np.nan)
        columns[name] = np.concatenate([values, lost] if name[0] == "t" else [lost, values])
    if method == "peak":
        columns |= {
            "r_on": columns["q_peak"],
            "r_off": columns["s_peak"],
            "p_off": 2 * columns["p_peak"] - columns["p_on"],
            "t_on": 2 * columns["t_peak"] - columns["t_off"],
        }
    return Delineation(**columns, error=error)


def _ask_neurokit(signal: FloatArray, fs_hz: int, method: str) -> tuple[dict[str, Any], str | None]:
    """Give NeuroKit's lists with the R peaks among them, or nothing and the reason."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NeuroKit warns of every lead it finds difficult
        try:
            if method == "clean_prominence":
                signal = nk.ecg_clean(signal, sampling_rate=fs_hz)
            _, peaks = nk.ecg_peaks(signal, sampling_rate=fs_hz)
            r_peaks = peaks["ECG_R_Peaks"]
            if len(r_peaks) == 0:
                return {}, NO_BEAT
            _, waves = nk.ecg_delineate(
                signal, r_peaks, sampling_rate=fs_hz, method=method.removeprefix("clean_")
            )
        except Exception as error:
            return {}, " ".join(f"{type(error).__name__}: {error}".split())
    return {**waves, "ECG_R_Peaks": r_peaks}, None
