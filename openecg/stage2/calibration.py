"""Do probabilities mean what they say, of each label and of whole waves."""

import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from openecg.bootstrap import draw_records, estimate, ratio
from openecg.errors import ConfigError
from openecg.files import write_tsv
from openecg.grouped import by_dataset
from openecg.rhythms import has_p_waves
from openecg.stage2.decode import (
    Probabilities,
    by_seed,
    decode_labels,
    list_windows,
    looks_at_signal,
    place_waves,
    wave_probability,
)
from openecg.stage2.decoding import Decoding
from openecg.tolerances import TOLERANCES
from openecg.waves import IGNORE, KINDS, P, labels_from_ms

log = logging.getLogger(__name__)

N_BINS = 10
N_SUMS = 5  # cases, their probabilities, those that came true, those that did not, those in place
ALL_BINS = "all"
LEVELS = ("label", "wave")
MARKS = ["wave_kind", "on_ms", "peak_ms", "off_ms"]
SPAN = ["span_on_ms", "span_off_ms"]
READ = [*MARKS, "native_fs_hz", "native_samples", *SPAN, "rhythm"]
TOLERANCE_MS = TOLERANCES["martinez"]
FIGURES = [
    *("level", "target", "bin", "n", "probability", "observed", "observed_lo", "observed_hi"),
    *("error", "error_lo", "error_hi", "false_share", "false_share_lo", "false_share_hi"),
    *("in_place_share", "in_place_share_lo", "in_place_share_hi"),
]
COLUMNS = ["system", "dataset", "split", *FIGURES, "n_records", "n_seeds", "bootstrap"]

Floats = npt.NDArray[np.float64]


def calibrate(
    *,
    probabilities: list[Path],
    shards: list[Path],
    decoding: str,
    system: str,
    bootstrap: int,
    seed: int,
    table: Path,
) -> None:
    """Compare the probabilities of one system with how often they come true.

    Parameters
    ----------
    probabilities : list of Path
        Files of ``predict``, for all its data sets and seeds; an ensemble is the mean over its
        seeds.
    shards : list of Path
        All shards of these data sets.
    decoding : str
        Values of `Decoding`, as JSON, by which they become waves.
    system : str
        What to call it.
    bootstrap : int
        Number of resamples.
    seed : int
        Seed of the resampling.
    table : Path
        TSV: for each data set, level, wave and tenth of probability (``bin``) the number ``n`` of
        cases, their mean ``probability``, and the share ``observed`` that came true; and in bin
        ``all`` the same of all cases, and ``error``, the expected calibration error: the mean
        distance of the two, weighted by the cases of the bins. Level ``label``: every annotated
        label, whether it is of the wave; no share where the wave has no label at all. Level
        ``wave``: every predicted wave whose middle is in the annotated span, with its
        `wave_probability`, whether it overlaps an annotated wave of its kind. ``false_share`` is
        the share that does not, waves that were invented; ``in_place_share`` that of waves with
        both ends within the Martinez tolerances of one (an end that is not marked agrees). P does
        not count in leads in sinus rhythm without one P mark. Seeds are pooled; intervals
        ``_lo _hi`` are 95 %, from resampling records.

    Raises
    ------
    ConfigError
        If a value of the decoding is not as documented, or it looks at the signal, which
        probabilities do not tell of.
    DataError
        If the files do not belong together.
    """
    how = Decoding.from_json(decoding)
    if looks_at_signal(how):
        raise ConfigError(f"decoding of {system!r}: trim_p_sd and refine cannot be calibrated")
    shards_of = by_dataset(shards)
    tables = []
    for dataset, seeds in by_seed(probabilities, ensemble=how.ensemble).items():
        own_shards = shards_of.get(dataset, [])
        tallies = []
        for paths in seeds.values():
            listed = list_windows(paths)
            codes, names = pd.factorize(listed.rows["record_id"])
            split = listed.rows["split"].iloc[0]
            sums = {level: np.zeros((len(names), len(KINDS), N_BINS, N_SUMS)) for level in LEVELS}
            for block, windows, truth in listed.blocks(own_shards, READ):
                np.add.at(sums["label"], codes[block], tally_labels(windows, truth))
                np.add.at(sums["wave"], codes[block], tally_waves(windows, truth, how))
            tallies.append(sums)
        both = {level: np.sum([one[level] for one in tallies], axis=0) for level in LEVELS}
        rows = tabulate_calibration(both, bootstrap=bootstrap, seed=seed)
        tables.append(
            rows.assign(dataset=dataset, split=split, n_records=len(names), n_seeds=len(seeds))
        )
    found = pd.concat(tables).assign(system=system, bootstrap=bootstrap)
    write_tsv(found[COLUMNS], table)
    log.info("%s: %d rows, %d data sets", table, len(found), len(tables))


def tally_labels(windows: Probabilities, truth: pa.Table) -> Floats:
    """Count the annotated labels of each window by their probability.

    Parameters
    ----------
    windows : Probabilities
    truth : Table
        Columns ``READ`` of the shards, a row for each window.

    Returns
    -------
    ndarray of shape (n_windows, 3, n_bins, 5), dtype float64
        For P, QRS and T, in each bin: the labels, the sum of their probabilities, those that are of
        the wave, those that are not, and nothing.
    """
    n_windows, n_labels, _ = windows.classes.shape
    marks = [truth[name].to_pylist() for name in [*MARKS, "native_fs_hz", "native_samples"]]
    labels = np.stack(
        [
            labels_from_ms(
                np.array(kind, dtype=np.uint8),
                *(np.array(times, dtype=np.float64) for times in (on, peak, off)),
                native_fs_hz=fs_hz,
                native_samples=n_samples,
                frame_ms=windows.label_ms,
                n_frames=n_labels,
                masked=True,
            )
            for kind, on, peak, off, fs_hz, n_samples in zip(*marks, strict=True)
        ]
    )
    tally = np.zeros((n_windows, len(KINDS), N_BINS, N_SUMS))
    window = np.broadcast_to(np.arange(n_windows)[:, None], labels.shape)
    p_unmarked = _p_unmarked(truth)[:, None]
    for i, kind in enumerate(KINDS):
        known = (labels != IGNORE) & ~((kind == P) & p_unmarked)
        called = windows.classes[:, :, kind].astype(np.float64)
        is_there = (labels == kind)[known]
        _add(tally[:, i], window[known], called[known], is_there, np.zeros_like(is_there))
    return tally


def tally_waves(windows: Probabilities, truth: pa.Table, how: Decoding) -> Floats:
    """Count the predicted waves of each window by their probability.

    Parameters
    ----------
    windows : Probabilities
    truth : Table
        Columns ``READ`` of the shards, a row for each window.
    how : Decoding

    Returns
    -------
    ndarray of shape (n_windows, 3, n_bins, 5), dtype float64
        For P, QRS and T, in each bin: the waves with their middle in the annotated span, the sum of
        their probabilities, those that overlap an annotated one, those that overlap none, and those
        with both ends where one is annotated.
    """
    n_windows = len(windows.rows)
    tally = np.zeros((n_windows, len(KINDS), N_BINS, N_SUMS))
    columns = [truth[name].to_pylist() for name in [*MARKS, *SPAN]]
    p_unmarked = _p_unmarked(truth)
    classes = decode_labels(windows, None, how)
    for row, (true_kind, on, peak, off, first_ms, last_ms) in enumerate(zip(*columns, strict=True)):
        kind, on_ms, off_ms = place_waves(windows, None, how, row, classes[row])
        called = wave_probability(windows, row, kind, on_ms, off_ms)
        middle_ms = (on_ms + off_ms) / 2
        inside = (middle_ms >= first_ms) & (middle_ms <= last_ms)
        marks = np.array([on, peak, off], dtype=np.float64).reshape(3, -1)
        for i, (code, name) in enumerate(KINDS.items()):
            if code == P and p_unmarked[row]:
                continue
            own = inside & (kind == code)
            ends_ms = np.stack([on_ms[own], off_ms[own]], axis=1)
            overlaps, in_place = _agree(ends_ms, marks[:, np.array(true_kind) == code], name)
            _add(tally[:, i], np.full(len(ends_ms), row), called[own], overlaps, in_place)
    return tally


def _p_unmarked(truth: pa.Table) -> npt.NDArray[np.bool_]:
    """Tell in which windows there are P waves, none of which is marked, shape (n_windows,)."""
    no_p = np.array([P not in kinds for kinds in truth["wave_kind"].to_pylist()], dtype=bool)
    unmarked: npt.NDArray[np.bool_] = has_p_waves(truth["rhythm"]) & no_p
    return unmarked


def _agree(
    ends_ms: Floats, marks_ms: Floats, name: str
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Tell which waves overlap an annotated one, and which have both ends where one is annotated.

    Parameters
    ----------
    ends_ms : ndarray of shape (n_waves, 2), dtype float64
        On and off of predicted waves.
    marks_ms : ndarray of shape (3, n_true), dtype float64
        On, peak and off of the annotated ones, NaN where not marked.
    name : str
        Their kind.
    """
    if not marks_ms.shape[1]:
        none = np.zeros(len(ends_ms), dtype=bool)
        return none, none
    distance = np.abs(ends_ms[:, :, None] - marks_ms[None, [0, 2]])
    limits = np.array([TOLERANCE_MS[f"{name}_on"], TOLERANCE_MS[f"{name}_off"]])
    near = (distance <= limits[:, None]) | np.isnan(distance)
    first, last = np.nanmin(marks_ms, axis=0), np.nanmax(marks_ms, axis=0)
    over = (ends_ms[:, :1] <= last) & (ends_ms[:, 1:] >= first)
    return over.any(axis=1), (near.all(axis=1) & over).any(axis=1)


def _add(
    tally: Floats,
    window: npt.NDArray[np.int64],
    probability: Floats,
    came_true: npt.NDArray[np.bool_],
    in_place: npt.NDArray[np.bool_],
) -> None:
    """Add cases to the tally (n_windows, n_bins, 5) of one kind of wave."""
    place = np.minimum((probability * N_BINS).astype(np.int64), N_BINS - 1)
    cases = (np.ones_like(probability), probability, came_true, ~came_true, in_place)
    for i, values in enumerate(cases):
        np.add.at(tally[..., i], (window, place), values)


def tabulate_calibration(tallies: dict[str, Floats], *, bootstrap: int, seed: int) -> pd.DataFrame:
    """Lay out tallies as rows.

    Parameters
    ----------
    tallies : dict of str to ndarray of shape (n_records, 3, n_bins, 5), dtype float64
        For each of ``LEVELS`` what `tally_labels` and `tally_waves` count, by record.
    bootstrap : int
        Number of resamples.
    seed : int
        Seed of the resampling.

    Returns
    -------
    DataFrame
        The columns are ``FIGURES``.
    """
    rows = []
    for level, tally in tallies.items():
        weights = draw_records(len(tally), bootstrap=bootstrap, seed=seed)
        with_all = np.concatenate([tally, tally.sum(axis=2, keepdims=True)], axis=2)[None]
        observed = estimate(with_all[..., [2, 0]], ratio, weights)[0]
        shares = {
            name: estimate(with_all[..., [place, 0]], ratio, weights)[0]
            for name, place in (("false_share", 3), ("in_place_share", 4))
        }
        error = estimate(tally[None], calibration_error, weights)[0]
        if level == "label":  # no label of a wave: it may be there and not be annotated
            absent = with_all[0, :, :, -1, 2].sum(axis=0) == 0
            observed[:, absent], error[:, absent] = np.nan, np.nan
        n, total = with_all[0].sum(axis=0)[..., 0], with_all[0].sum(axis=0)[..., 1]
        for i, target in enumerate(KINDS.values()):
            for place in range(N_BINS + 1):
                is_all = place == N_BINS
                name = f"{place / N_BINS:.1f}-{(place + 1) / N_BINS:.1f}"
                row: dict[str, object] = {"level": level, "target": target, "n": int(n[i, place])}
                row["bin"] = ALL_BINS if is_all else name
                row["probability"] = total[i, place] / n[i, place] if n[i, place] else np.nan
                for j, end in enumerate(("", "_lo", "_hi")):
                    row[f"observed{end}"] = observed[j, i, place]
                    if is_all:
                        row[f"error{end}"] = error[j, i]
                    if level == "wave":
                        row |= {f"{name}{end}": own[j, i, place] for name, own in shares.items()}
                rows.append(row)
    return pd.DataFrame(rows, columns=FIGURES)


def calibration_error(tally: Floats) -> Floats:
    """Average the distance of probability and share over the bins, weighted by their cases.

    Parameters
    ----------
    tally : ndarray of shape (..., n_bins, 3 or more), dtype float64
        Cases, the sum of their probabilities, those that came true; the rest is not looked at.

    Returns
    -------
    ndarray of shape (...), dtype float64
        NaN without cases.
    """
    n = tally[..., 0].sum(axis=-1)
    distance = np.abs(tally[..., 1] - tally[..., 2]).sum(axis=-1)
    error: Floats = distance / np.where(n > 0, n, np.nan)
    return error
