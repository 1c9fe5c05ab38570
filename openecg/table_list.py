"""The tables that a run prints, each picked from the one long table of its numbers.

A new table is an entry in `TABLES`, and nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass

ENDS = ("P_on", "P_off", "QRS_on", "QRS_off", "T_on", "T_off")
MACRO = (*ENDS, "macro")
WAVES = ("P", "QRS", "T", "mean_wave")
LIMB = ("I", "II", "III", "aVR", "aVL", "aVF")
PRECORDIAL = ("V1", "V2", "V3", "V4", "V5", "V6")
GROUPS = ("all", "sinus_rhythm", "other_rhythm", "AF_flutter", "paced", "AV_block")
SPAN = ("annotated_span", "annotated_span_unexcused")
BOTH = ("full_window", "annotated_span")
PROTOCOLS = ("full_window", *SPAN, "edge_filtered")  # of boundaries
MODELS = r"(?!nk_).*"
PUBLISHED_C = r"C_unmasked\+shift"


@dataclass(frozen=True)
class Table:
    """What a table takes from the long table, and where it puts it.

    Attributes
    ----------
    title, about : str
        What it is called, and a sentence on what it shows.
    columns : tuple of str
        Columns of the long table that go across; their values, joined, head the columns. All keys
        of a number that are neither here nor in ``rows`` part the table into blocks.
    pick : mapping
        For columns of the long table the values that are taken, in the order in which they are
        shown; names and values may be pairs with a space between. Other columns take any value,
        but lead and record groups ``all`` only, and ``split`` not ``tuning``, whose records
        choices are made on, or ``train``.
    rows : tuple of str
        Columns of the long table that tell the rows of a block apart.
    systems : str
        Regular expression for the systems of the run that are taken.
    elsewhere : str
        The same for systems that are known by published numbers only; empty for none.
    changed : str
        Regular expression for the ``changes`` of settings that are taken together with what they
        build on; empty for all settings.
    together : bool
        Take a setting only on the data sets and splits where two systems of it are taken.
    order : str
        Column of the long table that orders the systems, instead of their order there.
    """

    title: str
    about: str
    columns: tuple[str, ...]
    pick: Mapping[str, tuple[str, ...]]
    rows: tuple[str, ...] = ("system",)
    systems: str = ".*"
    elsewhere: str = ".*"
    changed: str = ""
    together: bool = False
    order: str = ""


F1 = ("f1",)
ERRORS = ("f1", "sensitivity", "ppv", "mean_ms", "sd_ms")
MARTINEZ: dict[str, tuple[str, ...]] = {"tolerance": ("martinez",), "protocol": BOTH}
FRAMES: dict[str, tuple[str, ...]] = {
    **{"metric": F1, "tolerance": ("",), "target": WAVES, "protocol": BOTH},
}
LEAD_BY_LEAD = (
    *(f"full_window 150ms {target}" for target in MACRO),  # as openecg published it
    *(f"annotated_span martinez {target}" for target in MACRO),
    "annotated_span_unexcused martinez macro",
)

TABLES: dict[str, Table] = {
    "nk_and_models": Table(
        "NeuroKit and the models",
        "Macro F1 of all boundaries: NeuroKit's token streams, the models, and peers.",
        ("lead_group", "tolerance"),
        {"tolerance": ("martinez", "150ms"), "protocol": PROTOCOLS, "metric": F1}
        | {"target": ("macro",), "lead_group": ("all", "II", "first")},
    ),
    "frame_f1": Table("Frame F1", "Settings by data sets.", ("dataset", "split", "target"), FRAMES),
    "cross_domain": Table(
        "Across data sets",
        "Frame F1 on data sets of which a model has learnt no record.",
        ("dataset", "split", "target"),
        FRAMES | {"domain": ("other",)},
        systems=MODELS,
        elsewhere="",
    ),
    "boundaries_150ms": Table(
        "Boundaries within 150 ms",
        "F1 at the tolerance of the LUDB literature, at which almost everything looks good.",
        ("target",),
        {"tolerance": ("150ms",), "protocol": (*BOTH, "unstated"), "metric": F1}
        | {"target": MACRO, "lead_group": ("all", "first", "own")},
    ),
    "martinez": Table(
        "Boundaries at Martinez tolerances",
        "F1, sensitivity, PPV and error (predicted minus reference, of matched boundaries only).",
        ("metric",),
        {"tolerance": ("martinez",), "protocol": (*BOTH, "edge_filtered"), "metric": ERRORS}
        | {"target": MACRO, "lead_group": ("all", "II", "first")},
        rows=("target", "system"),
    ),
    "literature": Table(
        "Beside the literature",
        "F1, sensitivity, PPV and error at 150 ms, the tolerance of most papers on LUDB, which "
        "seldom say more of their protocol or of their records.",
        ("metric",),
        {"tolerance": ("150ms",), "protocol": ("annotated_span", "unstated"), "metric": ERRORS}
        | {"target": MACRO, "lead_group": ("all", "II", "first", "own")},
        rows=("target", "system"),
    ),
    "qtdb_classical": Table(
        "QTDB, classical protocol",
        "Each annotated point takes the nearest mark of either lead, up to 400 ms away (peers: of "
        "the same beat); mean and SD of each record are averaged over records.",
        ("target", "metric"),
        {"protocol": ("better_lead_record_averaged",), "lead_group": ("better",)}
        | {"target": (*ENDS, "P", "QRS", "T"), "metric": ("mean_ms", "sd_ms", "sensitivity")},
        rows=("system", "split", "tolerance"),
    ),
    "qtdb_t_subset": Table(
        "QTDB, records with T onsets",
        "First lead of the records whose T onsets are marked, and of all. The windows of "
        "qtdb_centre, those of openecg 0.1.0, hold 39 such records, those of qtdb_density, of its "
        "later versions, 44.",
        ("target",),
        {"tolerance": ("martinez", "150ms"), "protocol": PROTOCOLS, "metric": F1}
        | {"target": MACRO, "lead_group": ("first",), "record_group": ("T_subset", "all")},
        rows=("system", "split", "record_group"),
    ),
    "leads": Table(
        "Lead by lead",
        "F1 of each of the twelve leads, its standard deviation over them, and the weakest.",
        ("metric", "lead_group"),
        {"protocol tolerance target": LEAD_BY_LEAD}
        | {"metric": ("f1_sd_over_leads", "f1_weakest_lead", "f1")}
        | {"lead_group": ("twelve", *LIMB, *PRECORDIAL)},
        rows=("target", "system"),
    ),
    "leads_added": Table(
        "Leads seen together",
        "The same model shown so many leads of a record at a time: macro F1. Whether a strip has "
        "P waves is counted by lead, but for the model itself, which counts over all of them.",
        ("tolerance", "lead_group"),
        {"tolerance": ("martinez", "150ms"), "protocol": SPAN, "metric": F1, "target": ("macro",)}
        | {"lead_group": ("all", "II")},
        systems=r"(?!nk_)[^+]*(\+leads_\d+)?",
        elsewhere="",
        together=True,
    ),
    "groups": Table(
        "By rhythm, pacing and conduction",
        "Macro F1 and F1 of T onsets at Martinez tolerances, and false P onsets per 10 s of "
        "annotated lead in which they count; split `all` is out of fold, each record by a model "
        "that did not learn from it. The macro of a group is over the boundaries that its records "
        "have, without those of P in atrial fibrillation, so columns are not to be compared with "
        "each other.",
        ("target", "metric", "record_group"),
        {"tolerance": ("martinez",), "protocol": SPAN, "split": ("all", "validation", "test")}
        | {"lead_group": ("all", "II")}
        | {"target metric": ("macro f1", "T_on f1", "P_on false_per_10_s")}
        | {"record_group": GROUPS},
    ),
    "decoding": Table(
        "Decoding",
        "The same probabilities made to waves in different ways: F1 at Martinez tolerances. The "
        "cleaning of `original` and the shifts were chosen on LUDB's validation records.",
        ("target",),
        MARTINEZ | {"metric": F1, "target": MACRO, "lead_group": ("all", "first")},
        systems=MODELS,
        elsewhere=r"(v12_reg.*|[CF]_unmasked)\+.*",
        together=True,
    ),
    "p_off_bias": Table(
        "The end of P",
        "What the original's cleaning, a fixed shift and trimming do to it, at Martinez "
        "tolerances. They were chosen on LUDB's validation records.",
        ("target", "metric"),
        MARTINEZ
        | {"target metric": (*(f"P_off {metric}" for metric in ERRORS), "macro f1")}
        | {"lead_group": ("all", "first")},
        systems=r"(?!nk_)[^+]*(\+(original|shift|shift_15|trim))?",
        elsewhere=r"C_unmasked\+(original|shift|trim)",
        together=True,
    ),
    "capacity": Table(
        "Capacity",
        "Models by the number of their parameters: macro F1 at Martinez tolerances.",
        ("dataset", "split"),
        MARTINEZ | {"metric": F1, "target": ("macro",)},
        systems=r"(?!nk_)[^+]*(\+shift)?",
        elsewhere=rf"{PUBLISHED_C}|Cbig_d\d+_unmasked\+shift",
        order="parameters",
    ),
    "augmentation": Table(
        "Augmentation",
        "Settings that differ from what they build on in augmentation only, and the latter: macro "
        "F1 at Martinez tolerances.",
        ("dataset", "split", "metric"),
        MARTINEZ | {"metric": ("f1", "f1_change"), "target": ("macro",)},
        systems=MODELS,
        elsewhere=rf"{PUBLISHED_C}|C_(aug\d|time|edges)_unmasked\+shift.*",
        changed=r"augmentation\.[^,]*(, augmentation\.[^,]*)*",
    ),
}
