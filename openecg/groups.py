"""Groups of leads and of records that have rows of their own in the metric tables."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

ALL = "all"
LEAD_II = "II"
FIRST = "first"
LIMB = ("I", "II", "III", "aVR", "aVL", "aVF")
PRECORDIAL = ("V1", "V2", "V3", "V4", "V5", "V6")
LEAD_GROUPS = {
    "limb": LIMB,
    "precordial": PRECORDIAL,
    **{lead: (lead,) for lead in (*LIMB, *PRECORDIAL)},
}
BY_RECORD_GROUP = (ALL, FIRST, LEAD_II)
# Records of at most so many leads are ambulatory, as in QTDB; which lead is which is often unknown.
MOST_AMBULATORY_LEADS = 2
# Share of QRS onsets beside which a T onset must be marked: functional-spec.md, section 7.
T_SUBSET_SHARE = 0.8
SINUS = "Sinus rhythm"
RECORD_GROUPS = ("sinus_rhythm", "other_rhythm", "AF_flutter", "paced", "AV_block", "T_subset")

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Group:
    """Strips whose scores are pooled.

    Attributes
    ----------
    lead_group, record_group : str
        Names, as in the columns of the metric tables.
    strips : ndarray of shape (n_strips,), dtype bool
        Which strips belong to it; at least one.
    """

    lead_group: str
    record_group: str
    strips: Mask


def group_strips(strips: pd.DataFrame) -> list[Group]:
    """Group the strips of one data set by lead, and some of these by what the record is known for.

    Parameters
    ----------
    strips : DataFrame
        One row per strip: ``record_id lead rhythm conduction paced``; ``is_first``, whether the
        lead comes first in its record; ``n_qrs_on n_t_on``, the marked onsets.

    Returns
    -------
    list of Group
        Those that have a strip. Leads: ``all``; ``first`` of each record, where no record has more
        than two; ``limb``, ``precordial``, and each of the twelve. Records: ``all``, and for
        ``all``, ``first`` and ``II`` those of `record_groups`.
    """
    leads = strips["lead"].to_numpy()
    by_lead: dict[str, Mask] = {ALL: np.ones(len(strips), dtype=bool)}
    ambulatory = strips.groupby("record_id")["lead"].nunique().max() <= MOST_AMBULATORY_LEADS
    if ambulatory:
        by_lead[FIRST] = strips["is_first"].to_numpy()
    by_lead |= {name: np.isin(leads, members) for name, members in LEAD_GROUPS.items()}
    by_record = dict(record_groups(strips, ambulatory=ambulatory))
    groups = []
    for lead_group, of_lead in by_lead.items():
        groups.append(Group(lead_group, ALL, of_lead))
        if lead_group in BY_RECORD_GROUP:
            groups += [
                Group(lead_group, name, of_lead & of_record)
                for name, of_record in by_record.items()
            ]
    return [group for group in groups if group.strips.any()]


def record_groups(strips: pd.DataFrame, *, ambulatory: bool) -> Iterator[tuple[str, Mask]]:
    """Name the groups of records, and which strips are of each.

    Parameters
    ----------
    strips : DataFrame
        As for `group_strips`.
    ambulatory : bool
        Whether the records have one or two leads; only these have ``T_subset``.

    Yields
    ------
    name : str
        ``sinus_rhythm``: the rhythm is "Sinus rhythm" and the record is not paced.
        ``other_rhythm``: any other rhythm, of the sinus node too (bradycardia, tachycardia,
        arrhythmia): the group of the known figures. ``AF_flutter``: atrial fibrillation or flutter.
        ``paced``. ``AV_block`` of any degree. ``T_subset``: the T onset is marked for at least 0.8
        of the QRS onsets of the first lead, in all its windows together.
    strips : ndarray of shape (n_strips,), dtype bool
    """
    rhythm, paced = strips["rhythm"], strips["paced"].to_numpy()
    is_sinus = (rhythm == SINUS).to_numpy()
    yield "sinus_rhythm", is_sinus & ~paced
    yield "other_rhythm", ~is_sinus & (rhythm != "").to_numpy()
    yield "AF_flutter", rhythm.str.contains("fibrillation|flutter", case=False).to_numpy()
    yield "paced", paced
    yield "AV_block", strips["conduction"].str.contains("av[ -]block", case=False).to_numpy()
    if ambulatory:
        of_first = strips[strips["is_first"]].groupby("record_id")[["n_qrs_on", "n_t_on"]].sum()
        share = of_first["n_t_on"] / of_first["n_qrs_on"].where(of_first["n_qrs_on"] > 0)
        marked = share.index[share >= T_SUBSET_SHARE]
        yield "T_subset", strips["record_id"].isin(marked).to_numpy()
