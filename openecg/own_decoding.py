"""Which of the systems of a setting speaks for it, where many ways of decoding it are scored."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pandas as pd


def by_own_decoding(systems: Iterable[str]) -> list[str]:
    """Pick for each setting the system that is decoded as the setting says.

    Parameters
    ----------
    systems : iterable of str
        ``SETTING`` or ``SETTING+DECODING``; may repeat.

    Returns
    -------
    list of str
        One for each setting, in the order in which settings come: ``SETTING``, or the first of its
        systems where it is not among them.
    """
    picked: dict[str, str] = {}
    for system in systems:
        setting, plus, _ = system.partition("+")
        if not plus or setting not in picked:
            picked[setting] = system
    return list(picked.values())


def of_own_decoding(rows: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Tell which rows are of the systems that `by_own_decoding` picks on each data set and split.

    Parameters
    ----------
    rows : DataFrame
        With columns ``system``, ``dataset`` and ``split``.

    Returns
    -------
    ndarray of shape (n_rows,), dtype bool
    """
    systems = rows["system"].to_numpy()
    place = rows.groupby(["dataset", "split"], sort=False).ngroup().to_numpy()
    own = np.zeros(len(rows), dtype=bool)
    for here in np.unique(place):
        at = place == here
        own[at] = np.isin(systems[at], by_own_decoding(systems[at]))
    return own
