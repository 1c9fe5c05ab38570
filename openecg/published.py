"""Published numbers that the project's own are printed beside."""

from pathlib import Path

import pandas as pd

from openecg.files import read_tsv

PUBLISHED = Path(__file__).with_name("published.tsv")
# Systems that are called otherwise here. The original's NeuroKit rows were made with its own spike
# detector; nothing was masked when its settings up to version 4 were trained
# (functional-spec.md, 9.7).
UNMASKED = [
    *("v1.0", "v1.1", "A", "C", "D", "E", "F", "Cbig_d192", "Cbig_d256"),
    *("C_aug1", "C_aug2", "C_aug3", "C_time", "C_edges"),
]
CALLED_HERE = {"nk_dwt": "nk_original", **{setting: f"{setting}_unmasked" for setting in UNMASKED}}


def load_published() -> pd.DataFrame:
    """Read the published numbers, one row for each.

    Returns
    -------
    DataFrame
        ``system``, ``dataset``, ``split``, ``protocol``, ``tolerance`` (empty for frames),
        ``lead_group``, ``record_group``, ``metric`` and ``target`` as in the metric tables, the
        system under the name of the one here that is made alike (`CALLED_HERE`, with its decoding
        behind a plus); ``value`` (rates from 0 to 1, times in ms), and where it has an interval
        ``lo`` and ``hi``; ``source``, and ``tag``: ``[pub]`` published by the authors of openecg,
        ``[ours]`` measured for this project, ``[P]`` read in the primary source, ``[S]`` in a
        secondary one, ``[C]`` computed from public annotations, ``[M]`` from memory and unverified.
        Never print a row without its source and tag.

    Notes
    -----
    What differs from the protocols here has its own name in ``protocol``: ``inner_6s`` leaves out
    the first and the last 2 s; ``unstated`` is what the source does not say. Split ``own`` is the
    source's own choice of records. The boundary rows of functional-spec.md 10 stand
    under ``annotated_span_unexcused``, because that section names no excuse for waves of which one
    end is marked, and figures that the maintainers measured again of the same systems have none.
    """
    known = read_tsv(PUBLISHED).fillna({"tolerance": ""})
    return known.assign(system=known["system"].map(called_here))


def called_here(system: str) -> str:
    """Name the system of this project that a published one is made alike."""
    setting, plus, decoding = system.partition("+")
    return CALLED_HERE.get(setting, setting) + plus + decoding
