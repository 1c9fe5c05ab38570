"""How well pacemaker spikes are found: by record, by spike, and in time."""

import logging
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from openecg.errors import DataError
from openecg.files import read_parquet, write_tsv
from openecg.leads import LEADS
from openecg.pacer import detect_spikes
from openecg.pacing import (
    LOOSEST,
    THRESHOLDS,
    Candidates,
    Thresholds,
    choose_spikes,
    find_candidates,
)
from openecg.score import match
from openecg.simulation import KINDS, simulate_strip

log = logging.getLogger(__name__)

GRID = (
    (LOOSEST.sharpness, 1.75, 2.0, 2.25, 2.5, 3.0),
    (LOOSEST.jump_mv, 0.03, 0.04, 0.05, 0.06, 0.08),
    (0.25, 0.35, 0.5, 0.7, LOOSEST.calm),
)
"""Values of sharpness, jump_mv and calm that are tried."""

FIRST_UNPACED = 30  # the control group of openecg 0.1.0: the first so many record ids
TIMED_FS_HZ = (250.0, 500.0, 1000.0)
TIMED_STRIPS = 20  # simulated, of ten seconds, at each rate
TIMED_TOLERANCE_MS = 10.0
Z_95 = 1.959964  # half-width of a 95 % interval in standard deviations


@dataclass(frozen=True, eq=False)
class Strip:
    """What the table needs of one record.

    Attributes
    ----------
    record_id, split : str
    paced : bool
        What the data set says.
    seconds : float
        Length in s.
    candidates : Candidates
        Of the default detector.
    high_pass : ndarray of shape (n_leads,), dtype int64
        Spikes that `openecg.pacer.detect_spikes` finds in each lead.
    """

    record_id: str
    split: str
    paced: bool
    seconds: float
    candidates: Candidates
    high_pass: npt.NDArray[np.int64]


def score_pacing(*, records: list[Path], folds: int, seed: int, table: Path) -> None:
    """Compare the detectors of pacemaker spikes on a data set that says who is paced.

    Parameters
    ----------
    records : list of Path
        All parts of the data set (``read-records``).
    folds : int
        Of the cross-validation over records.
    seed : int
        Of the folds and of the simulated strips.
    table : Path
        TSV, one row per detector and group of records. Detectors: ``high_pass``, lead by lead, of
        the reference system, for which a record is paced if any lead has a spike; ``coincidence``,
        the default with the thresholds it ships; ``coincidence_cv``, with thresholds selected for
        each fold on the others. ``n_found`` of ``n_paced`` records are called paced, and
        ``n_false`` of ``n_unpaced``; both shares have 95 % Wilson intervals. Spikes per 10 s are
        summed over all leads of the unpaced records; ``mean_leads`` is how many leads of a paced
        record show a spike. The last rows are of simulated strips with known spikes: errors in ms
        of those found within 10 ms.

    Raises
    ------
    DataError
        If the files hold no record.
    """
    strips = [strip for path in records for strip in _read_strips(path)]
    if not strips:
        raise DataError(f"{table}: no record in {', '.join(map(str, records)) or 'no file'}")
    strips.sort(key=lambda strip: (len(strip.record_id), strip.record_id))
    dataset = read_parquet(records[0], columns=["dataset"])["dataset"][0].as_py()
    shipped = [THRESHOLDS] * len(strips)
    rows = [
        {"dataset": dataset, "detector": detector, "selection": selection} | row
        for detector, selection, thresholds in (
            ("high_pass", "none: constants of the reference system", None),
            ("coincidence", "on the training records of ludb", shipped),
            (
                "coincidence_cv",
                f"on the other folds, {folds} folds by record, seed {seed}",
                cross_validated(strips, folds=folds, seed=seed),
            ),
        )
        for row in _group_rows(strips, thresholds)
    ]
    rows += [{"dataset": "simulated"} | row for row in time_spikes(seed)]
    write_tsv(pd.DataFrame(rows), table)
    log.info("%s: %d records, %d paced", table, len(strips), sum(strip.paced for strip in strips))


def select_thresholds(strips: Sequence[Strip]) -> Thresholds:
    """Choose the thresholds that call most records right, in the middle of all that do.

    Parameters
    ----------
    strips : sequence of Strip
        Of the records to choose on.

    Returns
    -------
    Thresholds
        Of ``GRID``: with the fewest paced records missed plus unpaced ones called paced; of those
        the one with the fewest worse ones among its neighbours in the grid, to keep away from the
        edge; then with the fewest leads with spikes in unpaced records; then the first.
    """
    wrong = np.zeros([len(values) for values in GRID], dtype=np.int64)
    stray = np.zeros_like(wrong)
    for at in np.ndindex(wrong.shape):
        thresholds = Thresholds(*(values[i] for values, i in zip(GRID, at, strict=True)))
        found = [choose_spikes(strip.candidates, thresholds) for strip in strips]
        for strip, pacing in zip(strips, found, strict=True):
            wrong[at] += pacing.paced != strip.paced
            stray[at] += 0 if strip.paced else int(pacing.leads.sum())
    best = wrong == wrong.min()
    padded = np.pad(best, 1)
    room = np.zeros_like(wrong)
    for shift in product(range(3), repeat=best.ndim):
        room += padded[tuple(slice(s, s + n) for s, n in zip(shift, best.shape, strict=True))]
    order = np.lexsort((stray.ravel(), -room.ravel(), ~best.ravel()))
    chosen = np.unravel_index(order[0], best.shape)
    return Thresholds(*(values[int(i)] for values, i in zip(GRID, chosen, strict=True)))


def cross_validated(strips: Sequence[Strip], *, folds: int, seed: int) -> list[Thresholds]:
    """Give each record the thresholds that were selected without its fold.

    Paced and unpaced records are dealt to the folds apart, in random order.
    """
    rng = np.random.default_rng(seed)
    fold = np.zeros(len(strips), dtype=np.int64)
    for paced in (True, False):
        own = np.flatnonzero([strip.paced == paced for strip in strips])
        fold[rng.permutation(own)] = np.arange(own.size) % folds
    chosen = [
        select_thresholds([strip for strip, of in zip(strips, fold, strict=True) if of != left_out])
        for left_out in range(folds)
    ]
    return [chosen[of] for of in fold]


def time_spikes(seed: int) -> list[dict[str, Any]]:
    """Measure how exactly simulated spikes are timed, at several rates.

    Returns
    -------
    list of dict
        One row per detector and rate. ``high_pass`` looks at lead II, ``coincidence`` at all
        twelve.
    """
    kind = next(kind for kind in KINDS if kind.qrs == "paced")
    rows = []
    for fs_hz in TIMED_FS_HZ:
        rng = np.random.default_rng(seed)
        made = [
            simulate_strip(
                kind,
                leads=LEADS,
                fs_hz=fs_hz,
                n_samples=round(10 * fs_hz),
                scatter=True,
                rng=rng,
            )
            for _ in range(TIMED_STRIPS)
        ]
        found = {
            "high_pass": [detect_spikes(s.signal[LEADS.index("II")], fs_hz=fs_hz) for s in made],
            "coincidence": [
                choose_spikes(find_candidates(s.signal, fs_hz=fs_hz), THRESHOLDS).spikes
                for s in made
            ],
        }
        for detector, spikes in found.items():
            row = {"detector": detector, "group": f"simulated spikes at {fs_hz:g} Hz"}
            rows.append(row | _timing([s.spikes for s in made], spikes, fs_hz))
    return rows


def _timing(
    true: Sequence[npt.NDArray[np.int64]], found: Sequence[npt.NDArray[np.int64]], fs_hz: float
) -> dict[str, Any]:
    """Count spikes found within the tolerance, and their errors in ms."""
    errors: list[float] = []
    for truth, spikes in zip(true, found, strict=True):
        true_ms = truth.astype(np.float64) * 1000 / fs_hz
        found_ms = spikes.astype(np.float64) * 1000 / fs_hz
        alike = (np.zeros(truth.size, np.int64), np.zeros(spikes.size, np.int64))
        pairs = match(true_ms, alike[0], found_ms, alike[1], tolerance_ms=TIMED_TOLERANCE_MS)
        errors += (found_ms[pairs[:, 1]] - true_ms[pairs[:, 0]]).tolist()
    n_true, n_called = (sum(part.size for part in parts) for parts in (true, found))
    row: dict[str, Any] = {"n_spikes": n_true, "n_called": n_called, "n_hits": len(errors)}
    row["spike_sensitivity"] = len(errors) / n_true if n_true else None
    row["spike_ppv"] = len(errors) / n_called if n_called else None
    if errors:
        row |= {"mean_ms": float(np.mean(errors)), "sd_ms": float(np.std(errors))}
        row["p95_ms"] = float(np.percentile(np.abs(errors), 95))
    return row


def _group_rows(
    strips: Sequence[Strip], thresholds: Sequence[Thresholds] | None
) -> list[dict[str, Any]]:
    """Count records and spikes of each group; without thresholds, of the high-pass detector."""
    if thresholds is None:
        shown = [strip.high_pass for strip in strips]
        called = [bool(counts.any()) for counts in shown]
    else:
        found = [choose_spikes(s.candidates, t) for s, t in zip(strips, thresholds, strict=True)]
        shown = [pacing.leads.sum(axis=0) for pacing in found]
        called = [pacing.paced for pacing in found]
    unpaced = [i for i, strip in enumerate(strips) if not strip.paced]
    groups = {"all": list(range(len(strips)))}
    groups |= {
        split: [i for i, strip in enumerate(strips) if strip.split == split]
        for split in sorted({strip.split for strip in strips})
    }
    groups[f"first {FIRST_UNPACED} unpaced"] = unpaced[:FIRST_UNPACED]
    rows = []
    for group, members in groups.items():
        with_pacer = [i for i in members if strips[i].paced]
        without = [i for i in members if not strips[i].paced]
        tens = sum(strips[i].seconds for i in without) / 10
        row: dict[str, Any] = {"group": group}
        for names, chosen in (
            (("n_found", "n_paced", "sensitivity"), with_pacer),
            (("n_false", "n_unpaced", "false_share"), without),
        ):
            hits = sum(called[i] for i in chosen)
            row |= {names[0]: hits, names[1]: len(chosen)}
            row |= dict(zip(_ends(names[2]), _wilson(hits, len(chosen)), strict=True))
        row["spikes_per_10_s"] = sum(int(shown[i].sum()) for i in without) / tens if tens else None
        leads = [int(np.count_nonzero(shown[i])) for i in with_pacer]
        row["mean_leads"] = float(np.mean(leads)) if leads else None
        used = sorted({astuple(thresholds[i]) for i in members}) if thresholds else []
        row["thresholds"] = "; ".join(" ".join(f"{value:g}" for value in one) for one in used)
        rows.append(row)
    return rows


def _ends(name: str) -> tuple[str, str, str]:
    return name, f"{name}_lo", f"{name}_hi"


def _wilson(hits: int, n: int) -> tuple[float | None, float | None, float | None]:
    """Share and its 95 % interval by Wilson's score; nothing of nothing."""
    if not n:
        return None, None, None
    share, z2 = hits / n, Z_95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 * np.sqrt(share * (1 - share) / n + z2 / (4 * n**2)) / (1 + z2 / n)
    return share, max(0.0, middle - half), min(1.0, middle + half)


def _read_strips(path: Path) -> list[Strip]:
    """Read the records of one part and look for candidates in each."""
    columns = ["record_id", "split", "paced", "fs_hz", "signal"]
    table = read_parquet(path, columns=columns).to_pandas()
    strips = []
    for record_id, leads in table.groupby("record_id", sort=False):
        one = leads.iloc[0]
        signals = np.stack(list(leads["signal"]))
        fs_hz = float(one["fs_hz"])
        try:
            candidates = find_candidates(signals, fs_hz=fs_hz)
            high_pass = [detect_spikes(signal, fs_hz=fs_hz).size for signal in signals]
        except ValueError as error:
            raise DataError(f"{path}, record {record_id}: {error}") from error
        strips.append(
            Strip(
                record_id=str(record_id),
                split=str(one["split"]),
                paced=bool(one["paced"]),
                seconds=signals.shape[1] / fs_hz,
                candidates=candidates,
                high_pass=np.array(high_pass, dtype=np.int64),
            )
        )
    return strips
