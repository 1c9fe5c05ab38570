"""Rates, errors and densities from counts of records, with intervals by resampling the records.

The record is what is resampled, because its strips are alike. Every seed of a system, and every
system that is compared with another, is resampled with the same records.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

PERCENT = (2.5, 97.5)
ESTIMATE_ENDS = ("", "_lo", "_hi", "_min", "_max")  # of the columns of `estimated`
MOST_WITHOUT = 0.05  # share of resamples without a value

Floats = npt.NDArray[np.float64]
Statistic = Callable[[Floats], Floats]


def draw_records(n_records: int, *, bootstrap: int, seed: int) -> Floats:
    """Draw records with replacement.

    Parameters
    ----------
    n_records : int
        Records to draw from, and in each resample.
    bootstrap : int
        Number of resamples.
    seed : int
        Equal seeds and numbers of records draw the same.

    Returns
    -------
    ndarray of shape (bootstrap, n_records), dtype float64
        How often each record is in each resample; no row with fewer than two records, which say
        nothing about others.
    """
    if bootstrap < 1 or n_records < 2:
        return np.empty((0, n_records))
    share = np.full(n_records, 1.0 / n_records)
    drawn = np.random.default_rng(seed).multinomial(n_records, share, size=bootstrap)
    return drawn.astype(np.float64)


def rates(counts: Floats, has_truth: npt.NDArray[np.bool_] | None = None) -> Floats:
    """F1, sensitivity and positive predictive value.

    Parameters
    ----------
    counts : ndarray of shape (..., n_targets, 3), dtype float64
        Hits, false positives, misses.
    has_truth : ndarray of shape (..., n_targets), dtype bool, or None
        Which targets are scored; None: those that have truth in ``counts``.

    Returns
    -------
    ndarray of shape (..., n_targets + 1, 3), dtype float64
        F1, sensitivity, PPV of each target, and last their means over the scored targets. A target
        that is not scored has NaN; one with truth but without predictions has PPV 0; of one that is
        scored but has no truth in ``counts``, F1 and PPV are 0 if there are predictions, and the
        rest, the means among it, is NaN.
    """
    hits, false, misses = np.moveaxis(counts, -1, 0)
    is_there = hits + misses > 0
    scored = np.broadcast_to(is_there if has_truth is None else has_truth, hits.shape)
    parts = np.stack([2 * hits + false + misses, hits + misses, hits + false], axis=-1)
    upper = np.stack([2 * hits, hits, hits], axis=-1)
    known = scored[..., None] & (is_there[..., None] | (parts > 0))
    values = np.where(known, upper / np.maximum(parts, 1), np.nan)
    n_scored = np.where(scored.any(axis=-1), scored.sum(axis=-1), np.nan)[..., None]
    mean = np.where(scored[..., None], values, 0).sum(axis=-2) / n_scored
    both: Floats = np.concatenate([values, mean[..., None, :]], axis=-2)
    return both


def rates_of(*sums: Floats) -> Statistic:
    """Make `rates` a statistic of resamples, in all of which the same targets are scored.

    Else a resample without a record that has P waves would not count the false ones, and its macro
    would be of fewer boundaries.

    Parameters
    ----------
    *sums : ndarray of shape (n_seeds, n_records, ..., n_targets, 3), dtype float64
        Of all records; scored are the targets that have truth there.
    """
    truth = [(one[..., 0] + one[..., 2]).sum(axis=(0, 1)) > 0 for one in sums]
    has_truth = np.any(truth, axis=0)
    return lambda counts: rates(counts, has_truth)


def mean_and_sd(moments: Floats) -> Floats:
    """Mean and population standard deviation.

    Parameters
    ----------
    moments : ndarray of shape (..., 3), dtype float64
        Number of values, their sum, and the sum of their squares.

    Returns
    -------
    ndarray of shape (..., 2), dtype float64
        NaN where there is no value.
    """
    n, total, squares = np.moveaxis(moments, -1, 0)
    n = np.where(n > 0, n, np.nan)
    mean = total / n
    both: Floats = np.stack([mean, np.sqrt(np.maximum(squares / n - mean**2, 0))], axis=-1)
    return both


def ratio(parts: Floats) -> Floats:
    """First over second.

    Parameters
    ----------
    parts : ndarray of shape (..., 2), dtype float64
        Upper and lower part; the lower is not negative.

    Returns
    -------
    ndarray of shape (...), dtype float64
        NaN where the lower part is 0.
    """
    upper, lower = np.moveaxis(parts, -1, 0)
    quotient: Floats = upper / np.where(lower > 0, lower, np.nan)
    return quotient


def estimated(name: str, values: Floats) -> dict[str, Floats]:
    """Lay out an estimate as columns.

    Parameters
    ----------
    name : str
        What is estimated.
    values : ndarray of shape (n_rows, 3, ...), dtype float64
        Value and limits, as of `estimate`: of one seed, or of several and last their mean.

    Returns
    -------
    dict
        By ``name`` with each of ``ESTIMATE_ENDS``, an array of shape (n_rows, ...). The least and
        the largest of the seeds stand in the row of their mean, and are NaN elsewhere.
    """
    of_seeds = values[:-1, 0]
    least, largest = np.full_like(values[:, 0], np.nan), np.full_like(values[:, 0], np.nan)
    if len(of_seeds):
        least[-1], largest[-1] = of_seeds.min(axis=0), of_seeds.max(axis=0)
    columns = [*np.moveaxis(values, 1, 0), least, largest]
    return {f"{name}{end}": column for end, column in zip(ESTIMATE_ENDS, columns, strict=True)}


def resampled(sums: Floats, statistic: Statistic, weights: Floats) -> Floats:
    """Value of a statistic in each resample.

    Parameters
    ----------
    sums : ndarray of shape (n_seeds, n_records, ...), dtype float64
        What the statistic is of, for each seed and record.
    statistic : callable
        From an array of shape (..., *shape of a record*) to one of shape (..., *its own*).
    weights : ndarray of shape (n_resamples, n_records), dtype float64
        As of `draw_records`.

    Returns
    -------
    ndarray of shape (n_resamples, n_seeds, ...), dtype float64
    """
    return statistic(np.tensordot(weights, sums, axes=(1, 1)))


def percentiles(values: Floats) -> Floats:
    """Limits of the 95 % interval (percentile bootstrap), linear between neighbours.

    Parameters
    ----------
    values : ndarray of shape (n_resamples, ...), dtype float64
        NaN where a resample has no value; these are left out.

    Returns
    -------
    ndarray of shape (2, ...), dtype float64
        Points at 2.5 and 97.5 %; NaN where more than 5 % of the resamples have no value, which
        then hangs on one or two records.

    Notes
    -----
    As ``numpy.nanpercentile``, which is many times slower.
    """
    if not values.shape[0]:
        return np.full((2, *values.shape[1:]), np.nan)
    ordered = np.sort(np.moveaxis(values, 0, -1), axis=-1)  # NaN goes last
    last = np.maximum((~np.isnan(ordered)).sum(axis=-1, keepdims=True) - 1, 0)
    at = last * (np.array(PERCENT) / 100)
    below = np.floor(at).astype(np.int64)
    low = np.take_along_axis(ordered, below, axis=-1)
    high = np.take_along_axis(ordered, np.minimum(below + 1, last), axis=-1)
    limits: Floats = np.moveaxis(low + (high - low) * (at - below), -1, 0)
    limits[:, np.isnan(values).mean(axis=0) > MOST_WITHOUT] = np.nan
    return limits


def estimate(sums: Floats, statistic: Statistic, weights: Floats) -> Floats:
    """Estimate a statistic of all records for each seed, and its mean over the seeds.

    Parameters
    ----------
    sums : ndarray of shape (n_seeds, n_records, ...), dtype float64
        What the statistic is of, for each seed and record.
    statistic : callable
        As for `resampled`; its value is of the sum over records.
    weights : ndarray of shape (n_resamples, n_records), dtype float64
        As of `draw_records`.

    Returns
    -------
    ndarray of shape (n_rows, 3, ...), dtype float64
        A row for each seed and, of two or more, last one for their mean; in each the value, and
        the lower and upper limit of its 95 % interval, NaN without resamples. The mean is NaN
        where a seed has no value.
    """
    value = statistic(sums.sum(axis=1))
    drawn = resampled(sums, statistic, weights)
    if len(value) > 1:
        value = np.concatenate([value, value.mean(axis=0)[None]])
        drawn = np.concatenate([drawn, drawn.mean(axis=1)[:, None]], axis=1)
    limits = percentiles(drawn)
    limits[:, np.isnan(value)] = np.nan
    rows: Floats = np.stack([value, *limits], axis=1)
    return rows
