"""How well pacemaker spikes are found: by record, by spike, and in time."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from openecg.errors import DataError
from openecg.files import read_parquet, write_tsv
from openecg.grouped import first_row
from openecg.leads import LEADS
from openecg.pacer import detect_spikes
from openecg.pacing import (
    LOOSEST,
    LOWEST_FS_HZ,
    MIN_SPIKES,
    THRESHOLDS,
    Conditions,
    Pacing,
    Thresholds,
    choose_among,
    choose_spikes,
    conditions_of,
    detect_pacing,
    find_candidates,
    passing,
)
from openecg.score import match
from openecg.signals import resample
from openecg.simulation import KINDS, Kind, simulate_strip

log = logging.getLogger(__name__)

Ints = npt.NDArray[np.int64]

GRID = (
    (LOOSEST.sharpness, 1.75, 2.0, 2.25, 2.5, 3.0, 4.0),
    (LOOSEST.height_mv, 0.015, 0.02, 0.03, 0.04, 0.06),
    (0.15, 0.25, 0.35, LOOSEST.calm),
)
"""Values of sharpness, height_mv and calm that are tried."""

SELECTED_ON = ("ludb", "train")  # data set and split behind the thresholds that are shipped
ALL, EACH = "all", "each alone"
DETECTORS = ("coincidence_cv", "coincidence", "high_pass")
LEAD_SETS = {ALL: (), "II": ("II",), "II + V1": ("II", "V1"), EACH: ()}
DRAWN = 6  # sets of leads of each record on which thresholds for few leads are selected
FIRST_UNPACED = 30  # the control group of openecg 0.1.0: the first so many record ids
TIMED_FS_HZ = (250.0, 500.0, 1000.0)
TIMED_STRIPS = 20  # simulated, of ten seconds, of each kind at each rate
TIMED_TOLERANCE_MS = 10.0
Z_95 = 1.959964  # half-width of a 95 % interval in standard deviations


@dataclass(frozen=True, eq=False)
class Record:
    """One record at one sampling rate.

    Attributes
    ----------
    record_id, split : str
    paced : bool
        What the data set says.
    leads : tuple of str
        Names of the leads.
    signals : ndarray of shape (n_leads, n_samples), dtype float32
        The leads in mV.
    fs_hz : float
        Sampling rate in Hz.
    """

    record_id: str
    split: str
    paced: bool
    leads: tuple[str, ...]
    signals: npt.NDArray[np.float32]
    fs_hz: float


class Listed(NamedTuple):
    """A record without its signals; the fields are those of `Record`."""

    record_id: str
    split: str
    paced: bool
    leads: tuple[str, ...]
    fs_hz: float


@dataclass
class Tally:
    """What a detector makes of the strips of a group of records.

    Attributes
    ----------
    members : set of int, or None
        Positions of the records of the group; None: all.
    n_found, n_paced, n_false, n_unpaced : int
        Paced strips that are called so, paced strips, and the same of unpaced ones.
    unpaced_s : float
        Length of the unpaced strips in s.
    stray : int
        Spikes in the leads of unpaced strips.
    n_leads : int
        Leads with spikes of paced strips.
    thresholds : set of Thresholds
        That were used.
    """

    members: frozenset[int] | None = None
    n_found: int = 0
    n_paced: int = 0
    n_false: int = 0
    n_unpaced: int = 0
    unpaced_s: float = 0
    stray: int = 0
    n_leads: int = 0
    thresholds: set[Thresholds] = field(default_factory=set)

    def add(self, strip: Record, called: bool, spikes: Ints, used: Thresholds | None) -> None:
        """Count a strip, given the number of spikes in each lead."""
        if strip.paced:
            self.n_paced += 1
            self.n_found += called
            self.n_leads += int(np.count_nonzero(spikes))
        else:
            self.n_unpaced += 1
            self.n_false += called
            self.stray += int(spikes.sum())
            self.unpaced_s += strip.signals.shape[1] / strip.fs_hz
        if used is not None:
            self.thresholds.add(used)

    def row(self, *, intervals: bool) -> dict[str, Any]:
        """Lay out the counts as columns."""
        row: dict[str, Any] = {}
        for names, hits, n in (
            (("n_found", "n_paced", "sensitivity"), self.n_found, self.n_paced),
            (("n_false", "n_unpaced", "false_share"), self.n_false, self.n_unpaced),
        ):
            share, low, high = _wilson(hits, n)
            row |= {names[0]: hits, names[1]: n}
            row |= {names[2]: share, f"{names[2]}_lo": low, f"{names[2]}_hi": high}
            if not intervals:
                row |= {f"{names[2]}_lo": None, f"{names[2]}_hi": None}
        tens = self.unpaced_s / 10
        row["spikes_per_10_s"] = self.stray / tens if tens else None
        row["mean_leads"] = self.n_leads / self.n_paced if self.n_paced else None
        return row | {"thresholds": _listed(self.thresholds)}


class Trials(NamedTuple):
    """What every point of ``GRID`` makes of the strips of some records.

    Attributes
    ----------
    paced : ndarray of shape (n_records,), dtype bool
        What the data set says.
    wrong : ndarray of shape (n_records, *grid), dtype int64
        How many strips of the record are called otherwise.
    stray : ndarray of shape (n_records, *grid), dtype int64
        Spikes in leads of unpaced records.
    """

    paced: npt.NDArray[np.bool_]
    wrong: Ints
    stray: Ints

    def of(self, chosen: npt.NDArray[np.bool_]) -> "Trials":
        """Return those of some records."""
        return Trials(self.paced[chosen], self.wrong[chosen], self.stray[chosen])


def score_pacing(*, records: list[Path], folds: int, seed: int, table: Path, answers: Path) -> None:
    """Compare the detectors of pacemaker spikes on a data set that says who is paced.

    Parameters
    ----------
    records : list of Path
        All parts of the data set (``read-records``).
    folds : int
        Of the cross-validation over records.
    seed : int
        Of the folds, and of the leads that are drawn to select thresholds for few leads.
    table : Path
        TSV, one row per detector, rate, set of leads and group of records; the records are used at
        their own rate and, where they are sampled faster, brought to 250 Hz. In the set
        ``each alone`` every lead counts like a record, and there are no intervals. Detectors:
        ``coincidence_cv``, with thresholds selected for each fold on the others; ``coincidence``,
        with those that are shipped; ``high_pass``, lead by lead, of the reference system, for which
        a record is paced if any lead has a spike. ``selection`` says how the thresholds know the
        records: ``other folds``, ``in sample``, ``held out`` or ``other data``. ``n_found`` of
        ``n_paced`` records are called paced, and ``n_false`` of ``n_unpaced``; both shares have
        95 % Wilson intervals. Spikes per 10 s are summed over the leads of the unpaced records;
        ``mean_leads`` is how many leads of a paced record show a spike.
    answers : Path
        TSV, one row per record, from all its leads at its own rate: what the data set says
        (``paced``), its fold and the thresholds from the others, the ``answer`` with its number of
        spikes and of leads that show any, and the ``shipped_answer``.

    Raises
    ------
    DataError
        If the files hold no record, or one whose rate is below 250 Hz.

    Notes
    -----
    The cross-validation covers the choice among ``GRID``. It does not cover the detector itself
    and its other constants, which were made with all records of LUDB in view.
    """
    listed = _list_records(records)
    if not listed:
        raise DataError(f"{table}: no record in {', '.join(map(str, records)) or 'no file'}")
    place = {record.record_id: i for i, record in enumerate(listed)}
    dataset = first_row(records[0], ["dataset"])[0]
    fold = deal_folds([record.paced for record in listed], folds=folds, seed=seed)
    slower = any(record.fs_hz > LOWEST_FS_HZ for record in listed)
    at_rates = (False, True) if slower else (False,)
    selected = cross_validated(records, listed, fold=fold, seed=seed, at_rates=at_rates)
    tallies = _tallies(listed, at_rates)
    rates: dict[tuple[bool, str], set[float]] = {}
    answer_rows: dict[int, dict[str, Any]] = {}
    for record in _stream(records):
        i = place[record.record_id]
        at_rate = {slow: _slowed(record) if slow else record for slow in at_rates}
        for slow, name in rates_and_leads(listed, at_rates):
            for strip in _lead_set(at_rate[slow], name):
                rates.setdefault((slow, name), set()).add(strip.fs_hz)
                spotted = find_candidates(strip.signals, fs_hz=strip.fs_hz)
                where = conditions_of(spotted.n_live, spotted.fs_hz)
                own, shipped = selected[slow][where][int(fold[i])], THRESHOLDS[where]
                cv, fixed = choose_spikes(spotted, own), choose_spikes(spotted, shipped)
                found: dict[str, tuple[bool, Ints, Thresholds | None]] = {
                    "coincidence_cv": (cv.paced, cv.leads.sum(axis=0), own),
                    "coincidence": (fixed.paced, fixed.leads.sum(axis=0), shipped),
                    "high_pass": (*_high_pass(strip), None),
                }
                for detector, told in found.items():
                    for tally in tallies[slow, name, detector].values():
                        if tally.members is None or i in tally.members:
                            tally.add(strip, *told)
                if not slow and name == ALL:
                    answer_rows[i] = _answer(dataset, record, int(fold[i]), own, cv, fixed)
    rows: list[dict[str, Any]] = []
    for (slow, name, detector), groups in tallies.items():
        at_hz = ", ".join(f"{fs_hz:g}" for fs_hz in sorted(rates[slow, name]))
        rows += [
            {"detector": detector, "dataset": dataset, "leads": name, "fs_hz": at_hz}
            | {"group": group, "selection": _selection(detector, dataset, group)}
            | tally.row(intervals=name != EACH)
            for group, tally in groups.items()
        ]
    rows.sort(key=lambda row: DETECTORS.index(row["detector"]))
    write_tsv(pd.DataFrame([answer_rows[i] for i in range(len(listed))]), answers)
    write_tsv(pd.DataFrame(rows), table)
    log.info("%s: %d records, %d paced", table, len(listed), sum(one.paced for one in listed))


def deal_folds(paced: Sequence[bool], *, folds: int, seed: int) -> Ints:
    """Give each record a fold: paced and unpaced ones are dealt apart, in random order."""
    rng = np.random.default_rng(seed)
    fold = np.zeros(len(paced), dtype=np.int64)
    for kind in (True, False):
        own = np.flatnonzero(np.array(paced) == kind)
        fold[rng.permutation(own)] = np.arange(own.size) % folds
    return fold


def cross_validated(
    records: Sequence[Path],
    listed: Sequence["Listed"],
    *,
    fold: Ints,
    seed: int,
    at_rates: Sequence[bool],
) -> dict[bool, dict[Conditions, list[Thresholds]]]:
    """Select thresholds for each fold on the others, for all conditions that the records meet.

    Parameters
    ----------
    records : sequence of Path
        All parts of the data set.
    listed : sequence of Listed
        Its records, in a fixed order, on which the leads drawn depend.
    fold : ndarray of shape (n_records,), dtype int64
    seed : int
        Of the leads that are drawn.
    at_rates : sequence of bool
        Whether to bring records to the lowest rate.

    Returns
    -------
    dict
        By rate and conditions, for each fold.
    """
    place = {record.record_id: i for i, record in enumerate(listed)}
    shape = (int(fold.max()) + 1, *(len(values) for values in GRID))
    sums: dict[bool, dict[Conditions, Trials]] = {}
    for slow in at_rates:
        kinds = {(len(one.leads), LOWEST_FS_HZ if slow else one.fs_hz) for one in listed}
        sums[slow] = {
            conditions: Trials(
                np.zeros(shape[0], bool), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
            )
            for conditions in conditions_met(kinds)
        }
    for record in _stream(records):
        i = place[record.record_id]
        for slow, by_conditions in sums.items():
            at_rate = _slowed(record) if slow else record
            for conditions, of_fold in by_conditions.items():
                rng = np.random.default_rng([seed, conditions.fewest_leads, i])
                wrong, stray = try_record(at_rate, conditions, rng=rng)
                of_fold.wrong[fold[i]] += wrong
                of_fold.stray[fold[i]] += stray
    folds = np.arange(shape[0])
    return {
        slow: {
            conditions: [select_thresholds(of_fold.of(folds != left_out)) for left_out in folds]
            for conditions, of_fold in by_conditions.items()
        }
        for slow, by_conditions in sums.items()
    }


def conditions_met(kinds: Iterable[tuple[int, float]]) -> list[Conditions]:
    """List the conditions that some leads of records of such numbers of leads and rates meet."""
    kinds = set(kinds)
    return [
        conditions
        for conditions in THRESHOLDS
        if any(
            conditions in {conditions_of(n, fs_hz) for n in range(1, most + 1)}
            for most, fs_hz in kinds
        )
    ]


def try_grid(records: Sequence[Record], conditions: Conditions, *, seed: int) -> Trials:
    """Try all thresholds of ``GRID`` on strips that meet some conditions.

    Parameters
    ----------
    records : sequence of Record
        In a fixed order, on which the leads drawn depend.
    conditions : Conditions
        How many leads the strips have. For nine and more these are all leads of each record; for
        one and two each lead alone and some pairs; else sets of three to eight leads.
    seed : int
        Of the leads that are drawn.

    Returns
    -------
    Trials
    """
    tried = [
        try_record(
            record, conditions, rng=np.random.default_rng([seed, conditions.fewest_leads, i])
        )
        for i, record in enumerate(records)
    ]
    paced = np.array([record.paced for record in records])
    return Trials(paced, *(np.stack(counts) for counts in zip(*tried, strict=True)))


def try_record(
    record: Record, conditions: Conditions, *, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """Try all thresholds of ``GRID`` on one record; parameters and result as of `try_grid`."""
    shape = tuple(len(values) for values in GRID)
    wrong, stray = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for rows in _drawn_leads(len(record.leads), conditions, rng):
        candidates = find_candidates(record.signals[rows], fs_hz=record.fs_hz)
        if candidates.samples.size < MIN_SPIKES:
            wrong += record.paced
            continue
        chosen: dict[bytes, tuple[bool, int]] = {}
        passed = passing(candidates, *(axis[..., np.newaxis] for axis in np.ix_(*GRID)))
        for at in np.ndindex(shape):
            key = passed[at].tobytes()
            if key not in chosen:
                pacing = choose_among(candidates, passed[at])
                chosen[key] = pacing.paced, int(pacing.leads.sum())
            paced, n_leads = chosen[key]
            wrong[at] += paced != record.paced
            stray[at] += 0 if record.paced else n_leads
    return wrong, stray


def select_thresholds(trials: Trials) -> Thresholds:
    """Choose the thresholds that call most strips right, in the middle of all that do.

    Parameters
    ----------
    trials : Trials
        Of the records to choose on.

    Returns
    -------
    Thresholds
        Of ``GRID``: with the fewest strips called wrong; of those the one with the fewest worse
        ones among its neighbours in the grid, to keep away from the edge; then with the fewest
        leads with spikes in unpaced records; then the first.
    """
    wrong, stray = trials.wrong.sum(axis=0), trials.stray.sum(axis=0)
    best = wrong == wrong.min()
    padded = np.pad(best, 1)
    room = np.zeros_like(wrong)
    for shift in product(range(3), repeat=best.ndim):
        room += padded[tuple(slice(s, s + n) for s, n in zip(shift, best.shape, strict=True))]
    order = np.lexsort((stray.ravel(), -room.ravel(), ~best.ravel()))
    return _grid_point(tuple(map(int, np.unravel_index(order[0], best.shape))))


def time_spikes(*, seed: int, table: Path) -> None:
    """Measure how exactly simulated spikes are found and timed, at several rates.

    Parameters
    ----------
    seed : int
        Of the simulated strips.
    table : Path
        TSV, one row per detector, kind of paced heart and rate: ``n_called_paced`` of ``n_strips``;
        spikes, those called, and hits, within 10 ms; mean, SD and 95th percentile (absolute) of the
        errors of the hits in ms. ``coincidence`` sees all twelve leads, ``high_pass`` lead II.

    Notes
    -----
    Pulses of 0.5 to 2 ms are drawn at 4 kHz or more and low-passed on the way to each rate. Their
    middles are the truth; they lie on no grid of samples, so half a sample is the least error.
    """
    rows = []
    kinds = [kind for kind in KINDS if kind.qrs == "paced"]
    for number, kind in enumerate(kinds):
        for fs_hz in TIMED_FS_HZ:
            made = [
                simulate_strip(
                    kind,
                    leads=LEADS,
                    fs_hz=fs_hz,
                    n_samples=round(10 * fs_hz),
                    scatter=True,
                    rng=np.random.default_rng([seed, number, i]),
                )
                for i in range(TIMED_STRIPS)
            ]
            two = LEADS.index("II")
            found = {
                "coincidence": [detect_pacing(s.signal, fs_hz=fs_hz).spikes for s in made],
                "high_pass": [detect_spikes(s.signal[two], fs_hz=fs_hz) for s in made],
            }
            true_ms = [strip.spikes_s * 1000 for strip in made]
            rows += [
                {"dataset": "simulated", "detector": detector, "heart": _heart(kind)}
                | {"fs_hz": fs_hz}
                | _timing(true_ms, [spikes * 1000 / fs_hz for spikes in own])
                for detector, own in found.items()
            ]
    rows.sort(key=lambda row: str(row["detector"]))
    write_tsv(pd.DataFrame(rows), table)
    log.info("%s: %d rows", table, len(rows))


def _heart(kind: Kind) -> str:
    return f"{kind.rhythm.split(chr(10))[0]}, paced"


def _timing(
    true_ms: Sequence[npt.NDArray[np.float64]], found_ms: Sequence[npt.NDArray[np.float64]]
) -> dict[str, Any]:
    """Count spikes found within the tolerance, and their errors in ms."""
    errors: list[float] = []
    for truth, spikes in zip(true_ms, found_ms, strict=True):
        alike = (np.zeros(truth.size, np.int64), np.zeros(spikes.size, np.int64))
        pairs = match(truth, alike[0], spikes, alike[1], tolerance_ms=TIMED_TOLERANCE_MS)
        errors += (spikes[pairs[:, 1]] - truth[pairs[:, 0]]).tolist()
    n_true, n_called = (sum(part.size for part in parts) for parts in (true_ms, found_ms))
    row: dict[str, Any] = {"n_strips": len(found_ms)}
    row["n_called_paced"] = sum(spikes.size > 0 for spikes in found_ms)
    row |= {"n_spikes": n_true, "n_called": n_called, "n_hits": len(errors)}
    row["spike_sensitivity"] = len(errors) / n_true if n_true else None
    row["spike_ppv"] = len(errors) / n_called if n_called else None
    if errors:
        row |= {"mean_ms": float(np.mean(errors)), "sd_ms": float(np.std(errors))}
        row["p95_ms"] = float(np.percentile(np.abs(errors), 95))
    return row


def _grid_point(at: tuple[int, ...]) -> Thresholds:
    return Thresholds(*(values[i] for values, i in zip(GRID, at, strict=True)))


def _drawn_leads(n_leads: int, conditions: Conditions, rng: np.random.Generator) -> list[list[int]]:
    """Choose sets of leads of a record that meet some conditions; none if it has too few."""
    bounds = sorted({one.fewest_leads for one in THRESHOLDS}, reverse=True)
    at = bounds.index(conditions.fewest_leads)
    most = min(bounds[at - 1] - 1, n_leads) if at else n_leads
    if most < conditions.fewest_leads:
        return []
    if not at:
        return [list(range(n_leads))]
    alone = [[row] for row in range(n_leads)] if conditions.fewest_leads == 1 else []
    sizes = rng.integers(max(conditions.fewest_leads, min(2, most)), most + 1, DRAWN).tolist()
    return alone + [sorted(rng.permutation(n_leads)[:size].tolist()) for size in sizes]


def _lead_set(record: Record, name: str) -> list[Record]:
    """Take some leads of a record: those of an entry of ``LEAD_SETS``, or each by itself."""
    everything = list(range(len(record.leads)))
    rows = [record.leads.index(lead) for lead in LEAD_SETS[name]] or everything
    return [
        replace(
            record, leads=tuple(record.leads[row] for row in part), signals=record.signals[part]
        )
        for part in ([[row] for row in rows] if name == EACH else [rows])
    ]


def _slowed(record: Record) -> Record:
    """Bring a record to the lowest rate, through an anti-aliasing filter."""
    signals = [
        resample(lead, fs_in_hz=record.fs_hz, fs_out_hz=LOWEST_FS_HZ) for lead in record.signals
    ]
    return replace(record, signals=np.stack(signals), fs_hz=LOWEST_FS_HZ)


def _selection(detector: str, dataset: str, group: str) -> str:
    """Say how the thresholds of a row know its records."""
    if detector == "coincidence_cv":
        return "other folds"
    if detector == "high_pass" or dataset != SELECTED_ON[0]:
        return "other data"
    return "in sample" if group == SELECTED_ON[1] else "held out"


def _high_pass(strip: Record) -> tuple[bool, Ints]:
    """Tell whether any lead has a spike for the reference detector, and how many each has."""
    counts = np.array([detect_spikes(lead, fs_hz=strip.fs_hz).size for lead in strip.signals])
    return bool(counts.any()), counts


def _answer(
    dataset: str, record: Record, fold: int, thresholds: Thresholds, cv: Pacing, shipped: Pacing
) -> dict[str, Any]:
    """Answer for a record whether it is paced."""
    return (
        {"dataset": dataset, "record_id": record.record_id, "split": record.split}
        | {"paced": record.paced, "fold": fold, "thresholds": _listed([thresholds])}
        | {"answer": cv.paced, "n_spikes": cv.spikes.size}
        | {"n_leads": int(cv.leads.any(axis=0).sum()), "shipped_answer": shipped.paced}
    )


def _listed(thresholds: Iterable[Thresholds]) -> str:
    return "; ".join(" ".join(f"{value:g}" for value in one) for one in sorted(set(thresholds)))


def _wilson(hits: int, n: int) -> tuple[float | None, float | None, float | None]:
    """Share and its 95 % interval by Wilson's score; nothing of nothing."""
    if not n:
        return None, None, None
    share, z2 = hits / n, Z_95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 * np.sqrt(share * (1 - share) / n + z2 / (4 * n**2)) / (1 + z2 / n)
    return share, max(0.0, middle - half), min(1.0, middle + half)


def _list_records(paths: Sequence[Path]) -> list[Listed]:
    """List the records of all parts in the order of their ids."""
    listed: list[Listed] = []
    leads: dict[tuple[str, ...], tuple[str, ...]] = {}  # the same for most records
    for path in paths:
        columns = ["record_id", "split", "paced", "lead", "fs_hz"]
        table = read_parquet(path, columns=columns).to_pandas()
        for record_id, own in table.groupby("record_id", sort=False):
            names = tuple(own["lead"])
            one = own.iloc[0]
            _check_rate(path, record_id, float(one["fs_hz"]))
            listed.append(
                Listed(
                    str(record_id),
                    str(one["split"]),
                    bool(one["paced"]),
                    leads.setdefault(names, names),
                    float(one["fs_hz"]),
                )
            )
    listed.sort(key=lambda record: (len(record.record_id), record.record_id))
    return listed


def rates_and_leads(listed: Sequence[Listed], at_rates: Sequence[bool]) -> list[tuple[bool, str]]:
    """List whether to bring records to the lowest rate, and which leads of them to use."""
    known = set.intersection(*(set(leads) for leads in {record.leads for record in listed}))
    names = [name for name, wanted in LEAD_SETS.items() if set(wanted) <= known]
    return [(slow, name) for slow in at_rates for name in names]


def _tallies(
    listed: Sequence[Listed], at_rates: Sequence[bool]
) -> dict[tuple[bool, str, str], dict[str, Tally]]:
    """Make the tallies by rate, leads, detector and group; shipped thresholds know some splits."""
    of_split: dict[str, set[int]] = {}
    for i, record in enumerate(listed):
        of_split.setdefault(record.split, set()).add(i)
    unpaced = [i for i, record in enumerate(listed) if not record.paced]
    tallies = {}
    for slow, name in rates_and_leads(listed, at_rates):
        for detector in DETECTORS:
            groups = {"all": Tally()}
            if detector == "coincidence":
                groups = {
                    split: Tally(frozenset(of_split[split]))
                    for split in sorted(of_split, reverse=True)
                }
            elif not slow and name == ALL:
                first = frozenset(unpaced[:FIRST_UNPACED])
                groups[f"first {FIRST_UNPACED} unpaced"] = Tally(first)
            tallies[slow, name, detector] = groups
    return tallies


def _stream(paths: Sequence[Path]) -> Iterator[Record]:
    """Read the records part by part."""
    for path in paths:
        yield from _read_records(path)


def _read_records(path: Path) -> list[Record]:
    """Read the records of one part."""
    columns = ["record_id", "split", "paced", "lead", "fs_hz", "signal"]
    table = read_parquet(path, columns=columns).to_pandas()
    records = []
    for record_id, leads in table.groupby("record_id", sort=False):
        one = leads.iloc[0]
        fs_hz = float(one["fs_hz"])
        _check_rate(path, record_id, fs_hz)
        records.append(
            Record(
                record_id=str(record_id),
                split=str(one["split"]),
                paced=bool(one["paced"]),
                leads=tuple(leads["lead"]),
                signals=np.stack(list(leads["signal"])),
                fs_hz=fs_hz,
            )
        )
    return records


def _check_rate(path: Path, record_id: object, fs_hz: float) -> None:
    """Refuse a rate that is too low."""
    if not fs_hz >= LOWEST_FS_HZ:
        raise DataError(
            f"{path}, record {record_id}: sampling rate {fs_hz:g} Hz; at least "
            f"{LOWEST_FS_HZ:g} is needed"
        )
