"""Say in one page what a model is, what it learnt from, how good it is and where it is not."""

import json
import logging
from pathlib import Path
from typing import Any

import pandas as pd

from openecg.classical import LEAD_GROUP as BETTER
from openecg.classical import PROTOCOL as CLASSICAL
from openecg.datasets import SIMULATED
from openecg.errors import ConfigError, DataError
from openecg.files import read_tsv, written_aside
from openecg.groups import ALL
from openecg.headline import tolerance_text
from openecg.leads import LEADS
from openecg.made import current_note, note_of
from openecg.numbers import read_numbers
from openecg.own_decoding import of_own_decoding
from openecg.score import SEARCH_MS
from openecg.selection import HELD_OUT, TUNING
from openecg.stage2.checkpoint import Origin, load_checkpoint
from openecg.tables import where
from openecg.waves import BOUNDARIES

log = logging.getLogger(__name__)

MARTINEZ, WIDE = "martinez", "150ms"
SPAN, UNEXCUSED = "annotated_span", "annotated_span_unexcused"
MACRO = "macro"
SHARE = "share_of_"
CALIBRATED = ("system", "dataset", "split", "level", "target")
LEADS_SHOWN = (ALL, "first", "II")
# What the licence of each release asks for, as in resources/README.md.
LICENCES = {
    "ludb": "ODC-BY 1.0; Kalyakulina A. et al., PhysioNet 2021, doi 10.13026/eegm-h675",
    "qtdb": "ODC-BY 1.0; Laguna P. et al., 1997, doi 10.13026/C24K53",
    "isp": "as its Zenodo record says; Avetisyan A. et al., doi 10.5281/zenodo.14679837",
}
CALIBRATION = (
    "Level `label`: is an annotated label of the wave. Level `wave`: does a predicted wave overlap "
    "an annotated one of its kind, where its probability is that of its most probable label; "
    "`false waves` do not. P does not count in leads in sinus rhythm without one P mark. The "
    "calibration error is the mean distance of probability and share, over tenths of probability, "
    "weighted by their cases. Seeds are pooled."
)
NOT_CALIBRATED = (
    "Not measured: it is for models that are scored on held-out records, with waves whose "
    "boundaries follow from probabilities or are regressed, without other cleaning."
)
LIMITS = (
    "Made for research on delineation, not for diagnosis; no clinical study stands behind it.",
    "Each lead has the marks of one reading; how far experts differ is not in these numbers.",
    "Groups of few records, as above, have wide intervals or none.",
)
LIMITS_OF = {
    "ludb": "LUDB does not mark the first and the last beats of a strip: they are neither learnt "
    "nor scored.",
    "qtdb": "QTDB marks about 30 beats of each record, and T onsets in under half of them. Beats "
    "that its experts skipped between these count as not there: a wave that is false may be real.",
}


def write_model_card(
    *,
    setting: str,
    model: Path,
    numbers: Path,
    runs: Path,
    decoding: str,
    calibrations: list[Path],
    timings: list[Path],
    card: Path,
) -> None:
    """Write the card of a model in Markdown.

    Parameters
    ----------
    setting : str
        Which model.
    model : Path
        A checkpoint of it.
    numbers, runs : Path
        The long table of all numbers, and what each system is.
    decoding : str
        How its probabilities become waves: in what that differs from runs of the most probable
        class, as JSON.
    calibrations : list of Path
        Tables of ``calibrate`` of this model, in all decodings that have one.
    timings : list of Path
        Tables of ``time-models``.
    card : Path
        Markdown to write. Every number in it comes from these files.

    Raises
    ------
    ConfigError
        If ``decoding`` is not JSON.
    DataError
        If ``runs`` or ``numbers`` say nothing of the model, or a file cannot be read.
    """
    try:
        how: dict[str, Any] = json.loads(decoding)
    except json.JSONDecodeError as error:
        raise ConfigError(f"decoding: not JSON: {error}") from error
    described = read_tsv(runs)
    described = described[described["system"].str.partition("+")[0] == setting]
    told = read_numbers(numbers)
    of_setting = told["system"].str.partition("+")[0] == setting
    told = told[of_setting & (told["split"] != TUNING) & told["value"].notna()]
    if described.empty or told.empty:
        raise DataError(f"{numbers}: no numbers of {setting!r}")
    is_own = of_own_decoding(told)
    own, others = told[is_own], told[~is_own]
    _, origin = load_checkpoint(model)
    sums = note_of(model).get("data", {}).items()
    run = described.iloc[0]
    parts = [
        f"# Model card: {setting}",
        _simulated(origin.setting["train_on"]),
        "## What it is",
        _list(
            {
                "Task": "delineation of P, QRS and T in ECG leads",
                "Architecture": f"`openecg/stage2/{origin.setting['model']['architecture']}.py`, "
                f"{run['parameters']:,.0f} parameters",
                "Sees": "all leads of a record together, any number of them in any order"
                if origin.setting["training"]["leads"] == "any"
                else "one lead",
                "Takes": f"strips of {origin.n_samples / origin.fs_hz:g} s at {origin.fs_hz:g} Hz, "
                "each lead scaled to mean 0 and standard deviation 1",
                "Decoding": "runs of the most probable class"
                + "".join(f", `{key}` {json.dumps(value)}" for key, value in how.items())
                + f" (explained under `decodings` in `workflow_config.yaml`){_moved(how)}",
            }
        ),
        "## What it learnt from, and how it was chosen",
        _list(
            {
                "Data": ", ".join(origin.setting["train_on"]),
                **{f"`{name}`": f"sha256 {sha256}" for name, sha256 in sums},
                "Licences": "; ".join(_licences(origin.setting["train_on"])),
                "Training": f"{run['training']} (unannotated parts), {run['epochs']:.0f} epochs, "
                f"batch of {run['batch_size']:.0f}",
                "Selection": _selection(run["selection"], origin),
            }
        ),
        "The records that the tables name (validation, test; `all`: each by a model that did not "
        "learn from it) were not learnt from, nor read in choosing the epoch. Most records of "
        "`all` are ones that settings and decodings were chosen on.",
        _seen_before(origin.setting, how),
        "## How good it is",
        "F1 with 95 % intervals from resampling records, one-to-one matching. Tolerances: "
        f"{tolerance_text()}. `annotated_span` does not count what lies outside "
        "the annotated part, nor the missing end of an incompletely marked wave, nor P in a lead "
        "in sinus rhythm without one P mark; `_unexcused` counts the last two. Numbers are means "
        "over the seeds; an ensemble is one model of all seeds.",
        _table(_macro_rows(own)),
        "### Boundary by boundary",
        "Martinez tolerances, `annotated_span`, all leads; errors are predicted minus reference.",
        _table(_boundary_rows(own)),
        "### By group of records",
        "Macro F1 at Martinez tolerances over the boundaries that the records of a group have "
        "(without those of P in atrial fibrillation: rows are not to be compared with each other), "
        "and false P onsets per 10 s of annotated lead in which they count.",
        _table(_group_rows(own)),
        "### Lead by lead",
        _table(
            _lead_rows(own),
            about="Macro F1 at Martinez tolerances, `annotated_span`.",
            absent="No data set with these leads.",
        ),
        "### By the protocol of the QTDB literature",
        _table(
            _classical_rows(own),
            about=f"Each point takes the nearest mark of either lead, up to {SEARCH_MS:g} ms away; "
            "mean and SD of each record are averaged over records.",
            absent="Not scored on QTDB.",
        ),
        "### Are its probabilities true?",
        _table(_calibration_rows(calibrations), about=CALIBRATION, absent=NOT_CALIBRATED),
        "### What it costs",
        _table(
            _time_rows(timings, setting),
            about="From signal to waves, as the setting has them decoded; one process, one thread.",
            absent="Not measured: it is for models that are scored on held-out records.",
        ),
        "### Decoded otherwise",
        _table(
            _macro_rows(others),
            about="The same weights, shown or decoded in another way; an ensemble is of all seeds. "
            "`results/report.html` has all tables of these too.",
            absent="Not scored.",
        ),
        "## Limits",
        "\n".join(f"- {text}" for text in _limits([*origin.setting["train_on"], *told["dataset"]])),
        "## Licence",
        "Code and weights: Apache-2.0; the data keep their own licences, see above.",
        _made_by(),
    ]
    with written_aside(card) as aside:
        aside.write_text("\n\n".join(part.rstrip() for part in parts if part) + "\n")
    log.info("%s: %d numbers of %s", card, len(told), setting)


def _simulated(train_on: list[str]) -> str:
    """Warn of models of simulated data."""
    if not any(name.startswith(SIMULATED) for name in train_on):
        return ""
    return "**Learnt from simulated data.** It says nothing of real ECGs."


def _selection(how: str, origin: Origin) -> str:
    """Say how the epoch was chosen, and of which records, if of folds."""
    return how if origin.scheme == HELD_OUT else f"{how}: those of all folds but the scored one"


def _seen_before(setting: dict[str, Any], decoding: dict[str, Any]) -> str:
    """Say which choices held-out records of real data had a part in."""
    if all(name.startswith(SIMULATED) for name in setting["train_on"]):
        return ""
    thought_of = ["counting P waves as unmarked where none is marked"]
    if "min_p_share" in decoding:
        thought_of.append("the share of P waves below which all are dropped (`min_p_share`)")
    if setting["augmentation"]["spikes"] or setting["augmentation"]["p_waves"]:
        thought_of.append("the augmentations `spikes` and `p_waves`")
    text = (
        f"Exceptions: {', '.join(thought_of)} came after a cross-validated table of LUDB's ten "
        "paced records, five of them held out, had been read; values were chosen on folds of the "
        "training records and on simulated paced records."
    )
    if setting["model"]["architecture"] == "unet":
        text += (
            " The first U-Net (levels, kernel, rate, epochs) was that of a prototype, of which "
            "scores on LUDB's held-out records were known."
        )
        if any(name.startswith("qtdb") for name in setting["train_on"]):
            text += (
                " The epochs of `unet12_both` were put back to those of `unet12` after a "
                "cross-validated table of QTDB with fewer had been read."
            )
    if "likeliest" in decoding:
        text += (
            " Where boundaries lie (`likeliest`) was chosen on folds of the training records, "
            "after final tables without it had been read."
        )
    return f'{text} README lists all that are known, under "How the numbers are made".'


def _moved(decoding: dict[str, Any]) -> str:
    """Say what no name of a key does: that boundaries were moved by the tolerances of scoring."""
    if "likeliest" not in decoding:
        return ""
    return (
        f"; each boundary of {' and '.join(decoding['likeliest'])} is put where it most probably "
        "is within its Martinez tolerance, by which it is then scored"
    )


def _limits(datasets: list[str]) -> list[str]:
    """List what the numbers do not say, of the data sets it learnt from or is scored on."""
    layouts = dict.fromkeys(name.partition("_")[0] for name in datasets)
    return [*LIMITS, *(LIMITS_OF[name] for name in layouts if name in LIMITS_OF)]


def _licences(train_on: list[str]) -> list[str]:
    """Name the licence of each release behind some data sets."""
    layouts = dict.fromkeys(name.partition("_")[0] for name in train_on)
    return [f"{name.upper()} {LICENCES[name]}" for name in layouts if name in LICENCES] or ["none"]


def _macro_rows(told: pd.DataFrame) -> list[dict[str, str]]:
    """Put the mean over boundaries side by side at both tolerances."""
    macro = where(told, metric="f1", target=MACRO, record_group=ALL)
    macro = macro[macro["protocol"].isin((SPAN, UNEXCUSED)) & macro["lead_group"].isin(LEADS_SHOWN)]
    keys = ["system", "dataset", "split", "lead_group", "protocol"]
    rows = []
    for key, own in macro.groupby(keys, sort=False):
        row = dict(zip(keys, map(str, key), strict=True))
        row["records"] = f"{own['n_records'].iloc[0]:.0f}"
        row["seeds"] = f"{own['n_seeds'].iloc[0]:.0f}"
        for tolerance in (MARTINEZ, WIDE):
            row[f"macro F1, {tolerance}"] = _value(where(own, tolerance=tolerance))
        row["least to largest seed, martinez"] = _of_seeds(where(own, tolerance=MARTINEZ))
        rows.append(row)
    return rows


def _boundary_rows(told: pd.DataFrame) -> list[dict[str, str]]:
    """Give each boundary its F1, sensitivity, PPV and error."""
    own = where(told, tolerance=MARTINEZ, protocol=SPAN, record_group=ALL, lead_group=ALL)
    own = own[own["target"].isin(BOUNDARIES)]
    keys = ["system", "dataset", "split", "target"]
    rows = []
    for key, one in own.groupby(keys, sort=False):
        row = dict(zip(keys, map(str, key), strict=True))
        for metric in ("f1", "sensitivity", "ppv"):
            row[metric] = _value(where(one, metric=metric))
        for metric in ("mean_ms", "sd_ms"):
            row[metric] = _value(where(one, metric=metric), digits=1)
        rows.append(row)
    return rows


def _group_rows(told: pd.DataFrame) -> list[dict[str, str]]:
    """Give each group of records its macro F1 and its false P waves."""
    own = where(told, tolerance=MARTINEZ)
    own = own[own["protocol"].isin((SPAN, UNEXCUSED)) & own["lead_group"].isin((ALL, "first"))]
    own = own[own["record_group"] != ALL]
    keys = ["system", "dataset", "split", "record_group", "lead_group", "protocol"]
    rows = []
    for key, one in own.groupby(keys, sort=False):
        row = dict(zip(keys, map(str, key), strict=True))
        row["records"] = f"{one['n_records'].iloc[0]:.0f}"
        row["macro F1"] = _value(where(one, metric="f1", target=MACRO))
        false_p = where(one, metric="false_per_10_s", target="P_on")
        row["false P per 10 s"] = _value(false_p, digits=2)
        rows.append(row)
    return rows


def _lead_rows(told: pd.DataFrame) -> list[dict[str, str]]:
    """Give each of the twelve leads its macro F1."""
    own = where(told, tolerance=MARTINEZ, protocol=SPAN, record_group=ALL, metric="f1")
    own = where(own, target=MACRO)
    own = own[own["lead_group"].isin(LEADS)]
    keys = ["system", "dataset", "split"]
    rows = []
    for key, one in own.groupby(keys, sort=False):
        if set(one["lead_group"]) == set(LEADS):
            of_lead = {lead: _value(where(one, lead_group=lead)) for lead in LEADS}
            rows.append(dict(zip(keys, map(str, key), strict=True)) | of_lead)
    return rows


def _classical_rows(told: pd.DataFrame) -> list[dict[str, str]]:
    """Give each point of QTDB its error and sensitivity by the protocol of its literature."""
    own = where(told, protocol=CLASSICAL, lead_group=BETTER, record_group=ALL)
    keys = ["system", "dataset", "split", "target"]
    rows = []
    for key, one in own.groupby(keys, sort=False):
        row = dict(zip(keys, map(str, key), strict=True))
        for metric, digits in (("mean_ms", 1), ("sd_ms", 1), ("sensitivity", 3)):
            row[metric] = _value(where(one, metric=metric), digits=digits)
        rows.append(row)
    return rows


def _calibration_rows(calibrations: list[Path]) -> list[dict[str, str]]:
    """Give the expected calibration error of each wave, and the share of false waves."""
    if not calibrations:
        return []
    table = pd.concat([read_tsv(path) for path in calibrations])
    rows = []
    for _, one in table[of_own_decoding(table) & (table["bin"] == ALL).to_numpy()].iterrows():
        row = {name: str(one[name]) for name in CALIBRATED}
        row |= {"cases": f"{one['n']:.0f}", "records": f"{one['n_records']:.0f}"}
        row["seeds"] = f"{one['n_seeds']:.0f}"
        for name, what in (("error", "calibration error"), ("false_share", "false waves")):
            known = not pd.isna(one[name])
            row[what] = f"{one[name]:.3f}{_interval(one, name)}" if known else ""
        rows.append(row)
    return rows


def _time_rows(timings: list[Path], setting: str) -> list[dict[str, str]]:
    """Give what a lead of 10 s costs on one thread, beside NeuroKit; nothing without the model."""
    rows = []
    for path in timings:
        table = read_tsv(path)
        if setting not in set(table["system"]):
            continue
        shares = [name for name in map(str, table.columns) if name.startswith(SHARE)]
        shown = table["system"].str.startswith("nk_") | (table["system"] == setting)
        for _, one in table[shown].iterrows():
            row = {"dataset": one["dataset"], "system": one["system"]}
            row["leads at a time"] = f"{one['leads']:.0f}" if one["leads"] else "all"
            row["ms per lead of 10 s"] = f"{one['ms_per_lead']:.2f}"
            for name in shares:
                row[f"share of {name.removeprefix(SHARE)}"] = f"{one[name]:.2f}"
            rows.append(row)
    return rows


def _value(rows: pd.DataFrame, *, digits: int = 3) -> str:
    """Write the only number of ``rows`` with its interval; empty where there is none."""
    if rows.empty:
        return ""
    one = rows.iloc[0].rename({"lo": "value_lo", "hi": "value_hi"})
    return f"{one['value']:.{digits}f}{_interval(one, 'value', digits)}"


def _of_seeds(rows: pd.DataFrame) -> str:
    """Write the least and the largest of the seeds; empty where there is one only."""
    if rows.empty or rows["min"].isna().all():
        return ""
    return f"{rows['min'].iloc[0]:.3f} to {rows['max'].iloc[0]:.3f}"


def _interval(row: "pd.Series[Any]", name: str, digits: int = 3) -> str:
    """Write the interval of a number; empty where there is none."""
    low, high = row[f"{name}_lo"], row[f"{name}_hi"]
    return "" if pd.isna(low) else f" [{low:.{digits}f}, {high:.{digits}f}]"


def _list(facts: dict[str, str]) -> str:
    return "\n".join(f"- {name}: {text}" for name, text in facts.items())


def _table(rows: list[dict[str, str]], *, about: str = "", absent: str = "") -> str:
    """Write rows of the same keys as a table of Markdown below a text; another without rows."""
    if not rows:
        return absent
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"{about}\n\n{table}" if about else table


def _made_by() -> str:
    """Name the commit and the packages that made this page; nothing where they are not noted."""
    if not current_note():
        return ""
    made = json.loads(current_note())
    packages = ", ".join(f"{name} {number}" for name, number in made["versions"].items())
    return f"Made by commit {made['commit']}, code {made['code']}, with {packages}."
