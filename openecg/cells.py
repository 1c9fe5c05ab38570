"""Runs of symbols on a coarser grid, so that no short run is lost without need."""

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

NEAREST, FORCED = "nearest", "forced"
GRIDS = (NEAREST, FORCED)
"""Ways to bring the bounds of a stream to the 4 ms grid: ``openecg.labeler.on_grid`` and, as the
reference system does, ``on_forced_grid``."""


def fit_runs(n_cells: Ints, begins: Ints, always: npt.NDArray[np.bool_]) -> Ints:
    """Give each cell of a grid to a run, also to runs that vanish when their bounds are rounded.

    Parameters
    ----------
    n_cells : ndarray of shape (n_runs,), dtype int64
        Cells between the rounded bounds of each run, in order.
    begins : ndarray of shape (n_runs,), dtype int64
        The cell each run begins in.
    always : ndarray of shape (n_runs,), dtype bool
        Runs that get a cell in any case, such as pacer spikes.

    Returns
    -------
    ndarray of shape (sum of n_cells,), dtype int64
        The run that each cell belongs to.

    Notes
    -----
    A run without a cell takes the one it begins in if the run there has another, or if it is one
    of ``always``; else it is dropped.
    """
    left = n_cells.copy()
    owner: Ints = np.repeat(np.arange(left.size), left)
    for lost in np.flatnonzero(left == 0) if owner.size else []:
        at = min(int(begins[lost]), owner.size - 1)
        if left[owner[at]] > 1 or always[lost]:
            left[owner[at]] -= 1
            left[lost] += 1
            owner[at] = lost
    return owner
