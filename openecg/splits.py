"""Which records are held out, and folds for cross-validation. Records stay whole."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

TRAIN = "train"  # the split of all records that are not held out
N_FOLDS = 5


def id_order(record_ids: Sequence[str]) -> list[int]:
    """Order records by number if all their ids are numbers, else as they come."""
    places = list(range(len(record_ids)))
    if all(record_id.isdecimal() for record_id in record_ids):
        places.sort(key=lambda i: int(record_ids[i]))
    return places


def held_out_by_rhythm(
    record_ids: Sequence[str], rhythms: Sequence[str], *, fraction: float, seed: int
) -> npt.NDArray[np.bool_]:
    """Hold out the same share of records of each rhythm.

    Rhythms are taken by name and records in `id_order`; one random stream shuffles them all, and
    the first ``round(fraction * n)`` of each rhythm are held out.

    Parameters
    ----------
    record_ids, rhythms : sequence of str, length n_records
        Ids and rhythms of the records.
    fraction : float
        Share to hold out, 0 to 1.
    seed : int
        Seed of the random stream.

    Returns
    -------
    ndarray of shape (n_records,), dtype bool
        True for the records held out.

    Raises
    ------
    ValueError
        If ``fraction`` is out of range, or one of the two groups stays empty with a fraction
        strictly between 0 and 1, or a rhythm is not known.

    Notes
    -----
    On LUDB, fraction 0.2 and seed 42 give the 159 and 41 records of the published openecg results.
    """
    if not all(rhythms):
        raise ValueError(f"record {record_ids[list(rhythms).index('')]} has no rhythm to sort by")
    rng = np.random.default_rng(seed)
    order = id_order(record_ids)
    held_out = np.zeros(len(record_ids), dtype=np.bool_)
    for rhythm in sorted(set(rhythms)):
        members = rng.permutation([i for i in order if rhythms[i] == rhythm])
        held_out[members[: round(fraction * len(members))]] = True
    return _checked(held_out, fraction)


def held_out_by_record(
    record_ids: Sequence[str], *, fraction: float, seed: int
) -> npt.NDArray[np.bool_]:
    """Hold out ``round(fraction * n_records)`` records, drawn from all alike.

    Parameters, result and errors are those of `held_out_by_rhythm`.
    """
    members = np.random.default_rng(seed).permutation(id_order(record_ids))
    held_out = np.zeros(len(record_ids), dtype=np.bool_)
    held_out[members[: round(fraction * len(members))]] = True
    return _checked(held_out, fraction)


def held_out_as_published(published: Sequence[str | None]) -> npt.NDArray[np.bool_]:
    """Hold out the records that the data set publishes as ``"test"``.

    Raises
    ------
    ValueError
        If a record is published as neither ``"train"`` nor ``"test"``.
    """
    for split in published:
        if split not in ("train", "test"):
            raise ValueError(f"the data set publishes split {split!r}; allowed are train, test")
    return np.array([split == "test" for split in published], dtype=np.bool_)


def draw_folds(
    held_out: npt.NDArray[np.bool_], *, seed: int, n_folds: int = N_FOLDS
) -> npt.NDArray[np.int32]:
    """Deal records to folds of equal size, by themselves in each of the two groups.

    Parameters
    ----------
    held_out : ndarray of shape (n_records,), dtype bool
        Group of each record.
    seed : int
        Seed of the random stream, which is not the one that draws the groups.
    n_folds : int
        Number of folds.

    Returns
    -------
    ndarray of shape (n_records,), dtype int32
        0 to ``n_folds - 1``; in each group the sizes of the folds differ by one at most.
    """
    rng = np.random.default_rng([seed, n_folds])
    folds = np.zeros(len(held_out), dtype=np.int32)
    for group in (False, True):
        members = rng.permutation(np.flatnonzero(held_out == group))
        folds[members] = np.arange(len(members)) % n_folds
    return folds


def _checked(held_out: npt.NDArray[np.bool_], fraction: float) -> npt.NDArray[np.bool_]:
    """Refuse a fraction that gives other groups than one would expect of it."""
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction must lie between 0 and 1, got {fraction}")
    if 0 < fraction < 1 and (held_out.all() or not held_out.any()):
        raise ValueError(
            f"fraction {fraction} holds out {held_out.sum()} of {held_out.size} records, "
            "which leaves a group empty"
        )
    return held_out
