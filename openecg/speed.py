"""What tokenising costs beside the bare calls of NeuroKit that it makes."""

import json
import logging
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import neurokit2 as nk
import numpy as np
import numpy.typing as npt
import pandas as pd

from openecg.cells import GRIDS
from openecg.delineate import METHODS
from openecg.errors import ConfigError, DataError
from openecg.files import list_values, read_parquet, write_tsv
from openecg.tokens import PACERS, tokenize_strip

log = logging.getLogger(__name__)

STRIP_S = 10  # of long records the first part; speed does not depend on marks
ROUNDS = 4  # even, so that both go first equally often
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Times:
    """Seconds of the processor that tokenising and bare NeuroKit took for the same leads.

    Attributes
    ----------
    n_leads : int
        Leads timed in each round.
    ours_s, neurokit_s : ndarray of shape (rounds,), dtype float64
        Seconds for all leads.
    """

    n_leads: int
    ours_s: Floats
    neurokit_s: Floats

    @property
    def ratios(self) -> Floats:
        """Tokenising over NeuroKit in each round, shape (rounds,)."""
        return self.ours_s / self.neurokit_s

    @property
    def ratio(self) -> float:
        """Tokenising over NeuroKit, all rounds together."""
        return float(self.ours_s.sum() / self.neurokit_s.sum())

    @property
    def ms_per_lead(self) -> float:
        """Mean time of tokenising a lead, in ms."""
        return float(self.ours_s.mean()) * 1000 / self.n_leads

    @property
    def neurokit_ms_per_lead(self) -> float:
        """Mean time of bare NeuroKit for a lead, in ms."""
        return float(self.neurokit_s.mean()) * 1000 / self.n_leads


def time_tokens(
    strips: Sequence[Floats], *, fs_hz: float, method: str, pacer: str, grid: str, rounds: int
) -> Times:
    """Time tokenising against bare NeuroKit, in one process over the same leads.

    Both take turns strip by strip, and who goes first alternates with strips and rounds, so that
    what slows the machine slows both. A first strip that is not counted warms both up.

    Parameters
    ----------
    strips : sequence of ndarray of shape (n_leads, n_samples), dtype float64
        Leads of each record in mV.
    fs_hz : float
        Sampling rate in Hz, whole.
    method, pacer, grid : str
        As `openecg.tokens.tokenize_strip` takes them.
    rounds : int
        How often to time all strips; in an even number both go first equally often.

    Returns
    -------
    Times
        Times of the processor, not of the clock: what else the machine does counts little.

    Notes
    -----
    Bare NeuroKit is ``nk.ecg_peaks`` and ``nk.ecg_delineate``, with ``nk.ecg_clean`` before them
    for ``clean_prominence``. A lead at which it raises ends there, for both.
    """

    def ours(strip: Floats) -> None:
        tokenize_strip(strip, fs_hz=fs_hz, method=method, pacer=pacer, grid=grid)

    def bare(strip: Floats) -> None:
        for lead in strip:
            bare_neurokit(lead, fs_hz=int(fs_hz), method=method)

    spent = np.zeros((2, rounds))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NeuroKit warns of every lead it finds difficult
        for work in (ours, bare):
            work(strips[0])
        for turn in range(rounds):
            for i, strip in enumerate(strips):
                order = ((0, ours), (1, bare))
                for at, work in order if (turn + i) % 2 == 0 else order[::-1]:
                    spent[at, turn] += cpu_seconds(work, strip)
    return Times(sum(map(len, strips)), spent[0], spent[1])


def read_strips(records: Path, *, leads: int) -> tuple[list[Floats], float]:
    """Read the first records of a part, as many as give so many leads.

    Parameters
    ----------
    records : Path
        One row per record and lead at its native rate (``read-records``).
    leads : int
        How many leads to reach; records are taken whole.

    Returns
    -------
    strips : list of ndarray of shape (n_leads, n_samples), dtype float64
        The first 10 s of each record, in mV.
    fs_hz : float
        Their sampling rate in Hz.

    Raises
    ------
    DataError
        If the file holds no record, or the sampling rate differs between them.
    """
    table = read_parquet(records, columns=["record_id", "fs_hz", "signal"])
    strips: list[Floats] = []
    rates = sorted(set(table["fs_hz"].to_pylist()))
    if len(rates) != 1:
        raise DataError(f"{records}: sampling rates {rates}; one for all records is needed")
    n_samples = round(STRIP_S * rates[0])
    numbers = enumerate(table["record_id"].to_pylist())
    for _, rows in groupby(numbers, key=lambda numbered: numbered[1]):
        if sum(map(len, strips)) >= leads:
            break
        signals = [_signal(table["signal"][i], n_samples) for i, _ in rows]
        strips.append(np.stack(signals))
    return strips, rates[0]


def time_streams(*, records: Path, dataset: str, streams: str, leads: int, table: Path) -> None:
    """Write what token streams cost beside bare NeuroKit.

    Parameters
    ----------
    records : Path
        One row per record and lead at its native rate (``read-records``).
    dataset : str
        Name of their data set.
    streams : str
        JSON: ``method``, ``pacer`` and ``grid`` of each stream, by its name.
    leads : int
        How many leads to time, rounded up to whole records.
    table : Path
        TSV to write, one row per stream: ``dataset stream n_timed ms_per_lead
        neurokit_ms_per_lead ratio``. Times are means of four rounds, as `time_tokens` measures
        them, and the ratio is that of the means.

    Raises
    ------
    ConfigError
        If a method, pacer or grid is unknown, or ``leads`` is not positive.
    DataError
        As `read_strips`.
    """
    wanted: dict[str, dict[str, str]] = json.loads(streams)
    for name, stream in wanted.items():
        for key, allowed in (("method", METHODS), ("pacer", PACERS), ("grid", GRIDS)):
            if stream[key] not in allowed:
                raise ConfigError(
                    f"stream {name}, {key}: {stream[key]!r} is unknown; it may be "
                    f"{', '.join(allowed)}"
                )
    if leads < 1:
        raise ConfigError(f"leads must be 1 or more, got {leads}")
    strips, fs_hz = read_strips(records, leads=leads)
    rows = []
    for name, stream in wanted.items():
        times = time_tokens(strips, fs_hz=fs_hz, **stream, rounds=ROUNDS)
        row = {
            "dataset": dataset,
            "stream": name,
            "n_timed": times.n_leads,
            "ms_per_lead": times.ms_per_lead,
            "neurokit_ms_per_lead": times.neurokit_ms_per_lead,
            "ratio": times.ratio,
        }
        rows.append(row)
        log.info("%s: %s", table, ", ".join(f"{key} {value}" for key, value in row.items()))
    write_tsv(pd.DataFrame(rows), table)


def bare_neurokit(lead: Floats, *, fs_hz: int, method: str) -> None:
    """Make the calls that `openecg.delineate.delineate` makes, and nothing else."""
    try:
        if method == "clean_prominence":
            lead = nk.ecg_clean(lead, sampling_rate=fs_hz)
        _, peaks = nk.ecg_peaks(lead, sampling_rate=fs_hz)
        kind = method.removeprefix("clean_")
        nk.ecg_delineate(lead, peaks["ECG_R_Peaks"], sampling_rate=fs_hz, method=kind)
    except Exception:
        log.debug("NeuroKit raised", exc_info=True)


def cpu_seconds(work: Callable[[Floats], None], strip: Floats) -> float:
    """Time one call, in seconds of the processor."""
    start = time.process_time()
    work(strip)
    return time.process_time() - start


def _signal(cell: Any, n_samples: int) -> Floats:
    signal: Floats = list_values(cell)[:n_samples].astype(np.float64)
    return signal
