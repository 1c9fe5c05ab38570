"""Published numbers that the project's own are printed beside."""

from pathlib import Path

import pandas as pd

from openecg.files import read_tsv

PUBLISHED = Path(__file__).with_name("published.tsv")
# Systems that are called otherwise here. The original's NeuroKit rows were made with its own spike
# detector; nothing was masked when its settings were trained (functional-spec.md, 9.7).
CALLED_HERE = {
    "nk_dwt": "nk_original",
    **{setting: f"{setting}_unmasked" for setting in ("v1.0", "v1.1", "A", "C", "D", "E", "F")},
}


def load_published() -> pd.DataFrame:
    """Read the published numbers, one row for each.

    Returns
    -------
    DataFrame
        ``system``, ``dataset``, ``split``, ``protocol``, ``tolerance`` (empty for frames),
        ``lead_group``, ``metric`` and ``target`` as in the metric tables, the system under the name
        of the one here that is made alike (`CALLED_HERE`); ``value`` (rates from 0
        to 1, times in ms); ``source``, and ``tag``: ``[pub]`` published by the authors of openecg,
        ``[ours]`` measured for this project, ``[P]`` read in the primary source, ``[S]`` in a
        secondary one, ``[C]`` computed from public annotations, ``[M]`` from memory and unverified.
        Never print a row without its source and tag.
    """
    known = read_tsv(PUBLISHED).fillna({"tolerance": ""})
    return known.assign(system=known["system"].replace(CALLED_HERE))
