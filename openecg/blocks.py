"""Rows cut into blocks, of which one at a time is in memory and none ends inside a group."""

import numpy as np
import numpy.typing as npt

BLOCK_ROWS = 1024  # windows of 10 s; with their signals some 10 MB

Ints = npt.NDArray[np.int64]


def blocks(group: Ints, *, rows: int = BLOCK_ROWS) -> list[slice]:
    """Cut rows into blocks, none of which ends inside a group.

    Parameters
    ----------
    group : ndarray of shape (n,), dtype int64
        Number of the group of each row, counted from 0; a group may lie scattered.
    rows : int
        A block ends as soon as it has so many rows, if no group is open then.

    Returns
    -------
    list of slice
        They cover all rows, in their order; none is empty.
    """
    if not group.size:
        return []
    last = np.zeros(group.max() + 1, dtype=np.int64)
    last[group] = np.arange(group.size)  # of equal groups the last one stays
    closed = np.flatnonzero(np.maximum.accumulate(last[group]) == np.arange(group.size)) + 1
    found, start = [], 0
    while start < group.size:
        at = min(int(np.searchsorted(closed, start + rows)), closed.size - 1)
        found.append(slice(start, int(closed[at])))
        start = int(closed[at])
    return found
