"""One self-contained page with the metric tables, curves, strips and rule graph of a run."""

import base64
import logging
import os
import textwrap
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from openecg.datasets import SIMULATED
from openecg.errors import DataError
from openecg.files import read_parquet, read_tsv, written_aside
from openecg.groups import ALL
from openecg.metrics import MEAN_SEED
from openecg.pacing_table import TIMED_TOLERANCE_MS
from openecg.plots import Spans, strip, training_curves
from openecg.published import load_published
from openecg.score import FRAME_PROTOCOLS, TOLERANCES
from openecg.stage1 import GOALS
from openecg.tables import where
from openecg.waves import BOUNDARIES, IGNORE, KINDS

log = logging.getLogger(__name__)

TOLERANCE_NAMES = {"martinez": "Martinez", "150ms": "150 ms"}
LEAD_GROUPS = {"all": "all leads", "II": "lead II", "first": "first lead"}
WAVES = tuple(KINDS.values())
KEYS = ["dataset", "record_id", "lead", "window"]
WORST_SHARE = 0.25  # of the strips, to show failures beside the typical
HEADLINE_COLUMNS = 80
NONE = "-"  # where nothing could be scored

STYLE = """
:root { color-scheme: light dark; --ink: #1b2328; --soft: #56636c; --line: #d5dbe0;
  --page: #ffffff; --shade: #f3f6f8; --link: #0062a3; --alert: #a83f00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9ec; --soft: #a3afb7; --line: #3b464d;
  --page: #14191d; --shade: #1f272c; --link: #6bb8ec; --alert: #ffa066; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.2rem clamp(0.8rem, 3vw, 2.5rem) 4rem;
  background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
h1 { font-size: 1.7rem; font-weight: 500; line-height: 1.25; margin: 0.5rem 0; }
h1 strong { color: var(--alert); font-weight: 800; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 0.6rem; padding-top: 0.6rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.6rem 0 0.4rem; }
p, dl, ul { max-width: 46rem; }
a { color: var(--link); }
code { font-size: 0.92em; overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: 0.2rem 1.1rem; margin: 0.8rem 0; }
.scroll { overflow-x: auto; margin: 0.6rem 0 1.2rem; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
.about { color: var(--soft); font-size: 0.88rem; margin: 0 0 0.4rem; }
th, td { padding: 0.28rem 0.7rem; text-align: right; vertical-align: top; white-space: nowrap; }
th { font-weight: 600; }
thead th { border-bottom: 1px solid var(--line); text-align: right; }
thead th.group { text-align: center; border-left: 1px solid var(--line); }
tr:first-child th:first-child, td:first-child { text-align: left; padding-left: 0.3rem; }
tr { background: var(--page); }
tr:first-child th:first-child, td:first-child { position: sticky; left: 0; background: inherit;
  white-space: normal; max-width: 11rem; }
tbody tr:nth-child(even) { background: var(--shade); }
tbody th.of { text-align: left; padding: 0.7rem 0.3rem 0.2rem; background: var(--page); }
td small { display: block; color: var(--soft); font-size: 0.8rem; line-height: 1.3; }
td small.published { color: var(--link); }
figure { margin: 1rem 0 1.6rem; }
figure img { display: block; width: 100%; min-width: 45rem; height: auto; background: #ffffff;
  border-radius: 4px; }
figure.small img { width: auto; max-width: 100%; min-width: min(34rem, 100%); margin: 0 auto; }
figure .scroll { margin-bottom: 0.3rem; }
figcaption { color: var(--soft); font-size: 0.88rem; max-width: 46rem; }
dt { font-weight: 600; margin-top: 0.7rem; }
dd { margin: 0 0 0 1.2rem; }
.sources { color: var(--soft); font-size: 0.8rem; margin-top: -0.6rem; }
.sources ol { margin: 0.1rem 0 0; padding-left: 1.5rem; }
.alert { border-left: 4px solid var(--alert); padding: 0.2rem 0.8rem; background: var(--shade); }
@media print {
  :root { --ink: #000000; --soft: #444444; --line: #bbbbbb; --page: #ffffff; --shade: #f3f3f3;
    --link: #000000; --alert: #8a3300; }
  body { max-width: none; padding: 0; font-size: 9.5pt; }
  nav { display: none; }
  .scroll { overflow: visible; }
  table { font-size: 7.5pt; }
  th, td { padding: 0.15rem 0.35rem; }
  figure img { min-width: 0; }
  figure, tr, h2, h3 { break-inside: avoid; }
  h2, h3, .about { break-after: avoid; }
}
"""

HOW_TO_READ = """
<dl>
<dt>Frame F1</dt><dd>Each lead is cut into frames of {frame_ms} ms, and each frame is P, QRS, T or
none of these. F1 of a wave is over the frames of all leads together.</dd>
<dt>Boundary F1</dt><dd>The on and off of each wave, matched one to one with the reference within a
tolerance. {tolerances}.
Se is the share of reference boundaries found, PPV the share of predicted boundaries that are
right; macro is the mean F1 over the boundaries that the reference has.</dd>
<dt>Error</dt><dd>Predicted minus reference, in ms, over the matched boundaries only: negative is
early. Wide tolerances let more errors in, so compare it only at equal tolerance and Se.</dd>
<dt>Protocol <code>full_window</code></dt><dd>Everything in the window counts, as in the published
0.1.0 tables. Waves that nobody annotated at the edges then count as false.</dd>
<dt>Protocol <code>annotated_span</code></dt><dd>Only what lies between the first and the last mark
of a lead counts. A prediction outside may match a mark but is never false, and neither is the
missing boundary of a wave that is only half annotated.</dd>
<dt>Split</dt><dd>All leads and windows of a record are on one side. A model never sees the
records it is scored on; the epoch is chosen on tuning records taken from the training side.</dd>
<dt>Seed</dt><dd>Sets the start and the order of one training. NeuroKit has none. Of several seeds
the mean is shown, and the least and the largest F1; the difference between seeds is not part of the
intervals.</dd>
<dt>Interval</dt><dd>In brackets: 95 %, by drawing whole records with replacement and scoring
again, with the same records for all seeds. It says how much the number depends on which records
were in the split.</dd>
<dt>Known numbers</dt><dd>In colour, with their source below the table: earlier numbers for the
real data set of the same name, with the same split, protocol, tolerance and leads. [pub] published
by the authors of openecg, [ours] measured for this project, [P] read in the primary source, [S] in
a secondary one, [C] computed from public annotations, [M] from memory and unverified. They belong
to real records, so they never stand beside data sets whose name starts with
<code>{simulated}</code>. They stand beside what is made alike: the published settings were trained
as those named <code>_unmasked</code> here, unannotated frames counted as none of the waves, and
the published NeuroKit rows had the spike detector of <code>nk_original</code>.</dd>
</dl>
"""


def write_report(
    *,
    frames: Path,
    boundaries: Path,
    histories: list[Path],
    predictions: list[Path],
    shards: list[Path],
    rule_graph: Path,
    ablation: list[Path],
    stage1: list[Path],
    timings: list[Path],
    pacing: list[Path],
    automatic: list[Path],
    frame_ms: float,
    strips: int,
    report: Path,
) -> None:
    """Write one HTML page that shows a run and needs no other file.

    Parameters
    ----------
    frames, boundaries : Path
        Collected metric tables.
    histories : list of Path
        ``.../{setting}/seed{n}/history.tsv``.
    predictions : list of Path
        Predictions of every system and data set.
    shards : list of Path
        All shards of these data sets.
    rule_graph : Path
        SVG.
    ablation : list of Path
        The comparison of the token streams; none without streams.
    stage1 : list of Path
        The token streams beside published figures; none without streams. Only listed.
    timings : list of Path
        What the streams cost, for each data set. Only listed.
    pacing : list of Path
        Comparisons of the detectors of pacemaker spikes; none without the LUDB layout.
    automatic : list of Path
        Tables that check the scorer; none without QTDB.
    frame_ms : float
        Length of a frame in ms.
    strips : int
        Number of leads drawn, as far as there are any.
    report : Path
        HTML to write.

    Raises
    ------
    DataError
        If a table is empty, or predictions and shards have no strip in common.
    """
    frame_table, boundary_table = _read_scores(frames), _read_scores(boundaries)
    published = load_published()
    curves = {f"{p.parent.parent.name}/{p.parent.name}": read_tsv(p) for p in histories}
    drawn = _draw_strips(predictions, shards, strips)
    sources = {
        "Frame scores: system, seed, data set, split, protocol, lead group and wave": [frames],
        "Boundary scores: the same by tolerance and boundary": [boundaries],
        "Token streams: scores, Q-loss, failures, time": ablation,
        "Token streams beside published figures": stage1,
        "Times of the token streams": timings,
        "Pacemaker spikes: records by detector, simulated spikes in time": pacing,
        "Scorer check": automatic,
        "Training histories, one row per epoch": histories,
        "Predictions: frames, waves in ms": predictions,
        "Shards: signals, frame labels, marks in ms": shards,
        "Rule graph": [rule_graph],
    }
    datasets = list(dict.fromkeys([*frame_table["dataset"], *boundary_table["dataset"]]))
    sections = {
        "Frame F1": _frame_tables(frame_table, published, frame_ms),
        "Boundary macro F1": _macro_tables(boundary_table, published),
        "Boundaries one by one": _boundary_tables(boundary_table, published),
        "Token streams": _stream_tables(ablation),
        "Stage 1": _stage1_tables(stage1),
        "Pacing": _pacing_tables(pacing),
        "Scorer check": _automatic_tables(automatic),
        "Training": _curves_html(curves),
        "Strips": "\n".join(drawn),
        "Rule graph": _figure(
            rule_graph.read_text(encoding="utf-8"),
            "The rules of this run; an arrow leads from the rule that makes files to a user.",
            small=True,
        ),
        "Where each table lies": _places(sources, report.parent),
        "How to read": HOW_TO_READ.format(
            frame_ms=f"{frame_ms:g}", tolerances=tolerance_text(), simulated=SIMULATED
        ),
    }
    page = _page(datasets, {title: body for title, body in sections.items() if body})
    with written_aside(report) as aside:
        aside.write_text(page, encoding="utf-8")
    log.info("%s: %d data sets, %d strips drawn", report, len(datasets), len(drawn))


def print_headline(*, frames: Path, boundaries: Path, report: Path) -> None:
    """Print the headline table of a run, and where its report is."""
    print(headline(_read_scores(frames), _read_scores(boundaries)))
    print(f"\nReport: {report}\nTables: {frames}, {boundaries}")


def tolerance_text(*names: str) -> str:
    """Say in ms how far off a boundary may be, for some sets of tolerances or for all."""
    texts = []
    for name in names or TOLERANCES:
        by_boundary = TOLERANCES[name]
        if len(set(by_boundary.values())) == 1:
            parts = [f"{next(iter(by_boundary.values())):g} ms for all"]
        else:
            parts = []
            for wave in WAVES:
                on, off = (by_boundary[f"{wave}_{side}"] for side in ("on", "off"))
                both = {f"{wave} on": on, f"{wave} off": off} if on != off else {wave: on}
                parts += [f"{what} {ms:g} ms" for what, ms in both.items()]
        texts.append(f"{TOLERANCE_NAMES[name]}: {', '.join(parts)}")
    return "; ".join(texts)


def headline(frames: pd.DataFrame, boundaries: pd.DataFrame) -> str:
    """Return the most important scores as plain text of at most 80 columns.

    Parameters
    ----------
    frames, boundaries : DataFrame
        Collected metric tables.

    Returns
    -------
    str
        Frame F1 and boundary macro F1 at Martinez tolerances in protocol ``annotated_span``, all
        leads, one line per data set, split, system and seed.
    """
    kept = where(frames, protocol="annotated_span", lead_group="all")
    macro = where(
        boundaries,
        protocol="annotated_span",
        lead_group="all",
        tolerance="martinez",
        boundary="macro",
    )
    lines = textwrap.wrap(
        f"Frame F1, and boundary macro F1 ({tolerance_text('martinez')}) with its 95 % interval; "
        "protocol annotated_span, all leads",
        HEADLINE_COLUMNS,
    )
    for (dataset, split), rows in kept.groupby(["dataset", "split"], sort=False):
        title = f"{dataset}, {split} split, {_count(rows['n_records'], 'record')}"
        if str(dataset).startswith(SIMULATED):
            title += " (simulated data)"
        lines += ["", textwrap.shorten(title, HEADLINE_COLUMNS)]
        lines.append(f"{'':32}{'P':>7}{'QRS':>7}{'T':>7}   boundary macro F1")
        for system, seed in _systems(rows):
            own = where(rows, system=system, seed=seed).set_index("wave")["f1"]
            scores = "".join(f"{_number(own.get(wave)):>7}" for wave in WAVES)
            one = where(macro, dataset=dataset, split=split, system=system, seed=seed)
            f1, low, high = one[["f1", "f1_lo", "f1_hi"]].iloc[0] if len(one) else (None,) * 3
            interval = "" if pd.isna(low) else f" [{_number(low)}, {_number(high)}]"
            label = textwrap.shorten(_label(system, seed), 30, placeholder="…")
            lines.append(f"  {label:30}{scores}   {_number(f1)}{interval}")
    return "\n".join(lines)


def choose_strips(errors: pd.DataFrame, n_strips: int) -> pd.DataFrame:
    """Choose leads to draw: typical ones of records from easy to hard, and some of the worst.

    Parameters
    ----------
    errors : DataFrame
        ``dataset``, ``record_id``, ``lead``, ``window`` and ``error``, the share of annotated
        frames that are wrong.
    n_strips : int
        How many, as far as there are leads; divided evenly over the data sets as far as they have
        records, then as far as they have leads.

    Returns
    -------
    DataFrame
        Rows of ``errors`` with ``why``: one lead of each record, of a quarter the worst and of the
        others the median; more of a record only after every record has its strip, in turns and
        nearest to its median first.
    """
    if errors.empty:
        return errors.assign(why="")
    by_dataset = errors.groupby("dataset", sort=False)
    n_records = by_dataset["record_id"].nunique()
    first = _divide(n_strips, n_records)
    more = _divide(n_strips - sum(first.values()), by_dataset.size() - n_records)
    chosen = []
    for dataset, n_here in first.items():
        ranked = where(errors, dataset=dataset).sort_values(["error", *KEYS], kind="stable")
        n_worst = round(WORST_SHARE * n_here) if n_here > 1 else 0
        worst = ranked.iloc[::-1].drop_duplicates("record_id").head(n_worst)
        why = [
            f"worst lead of its record, rank {rank} of {n_records[dataset]} records by it"
            for rank in range(1, len(worst) + 1)
        ]
        others = ranked[~ranked["record_id"].isin(worst["record_id"])]
        medians = [
            rows.index[(len(rows) - 1) // 2] for _, rows in others.groupby("record_id", sort=False)
        ]
        typical = others.loc[medians].sort_values(["error", *KEYS], kind="stable")
        n_typical = min(n_here - n_worst, len(typical))
        middles = (np.arange(n_typical) + 0.5) / max(n_typical, 1)
        typical = typical.iloc[np.floor(middles * len(typical)).astype(int)]
        chosen.append(typical.assign(why="median lead of its record"))
        chosen.append(worst.assign(why=why))
        rest = ranked.drop(index=[*typical.index, *worst.index])
        median = ranked.groupby("record_id")["error"].median()
        rest["far"] = (rest["error"] - rest["record_id"].map(median)).abs()
        rest = rest.sort_values(["far", *KEYS], kind="stable")
        rest["turn"] = rest.groupby("record_id").cumcount()
        rest = rest.sort_values(["turn", *KEYS], kind="stable").head(more[dataset])
        rest = rest.drop(columns=["far", "turn"])
        chosen.append(rest.assign(why="another lead or window of its record"))
    return pd.concat(chosen)


def _divide(n: int, room: "pd.Series[int]") -> dict[str, int]:
    """Divide ``n`` evenly as far as there is room; what one cannot take goes to the others."""
    shares: dict[str, int] = {}
    for i, (name, most) in enumerate(room.sort_values(kind="stable").items()):
        shares[str(name)] = min(int(most), n // (len(room) - i))
        n -= shares[str(name)]
    return {str(name): shares[str(name)] for name in room.index}


def _read_scores(path: Path) -> pd.DataFrame:
    """Read the rows of all records; of several seeds their mean, without seed ``""``."""
    table = read_tsv(path)
    if table.empty:
        raise DataError(f"{path}: no rows; at least one scored system is needed")
    table = where(table.fillna({"seed": ""}), record_group=ALL)
    scored = pd.MultiIndex.from_frame(table[["system", "dataset", "split"]])
    is_mean = (table["seed"] == MEAN_SEED).to_numpy()
    return table[is_mean | ~scored.isin(scored[is_mean])]


def _systems(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the pairs of system and seed in the order of the table."""
    return list(dict.fromkeys(zip(table["system"], table["seed"], strict=True)))


def _label(system: str, seed: str) -> str:
    if seed == MEAN_SEED:
        return f"{system}, mean of seeds"
    return f"{system}, seed {seed}" if seed else system


def _number(value: object) -> str:
    """Write a rate with three decimals; none if it could not be scored."""
    return NONE if value is None or pd.isna(value) else f"{value:.3f}"  # type: ignore[call-overload]


def _whole(count: float) -> str:
    """Write a number of things; none where the mean of seeds has none."""
    return NONE if pd.isna(count) else f"{count:.0f}"


def _count(values: Iterable[int], what: str) -> str:
    """Write how many of something there are, or the least and the most."""
    least, most = min(values), max(values)
    number = f"{least}" if least == most else f"{least} to {most}"
    return f"{number} {what}{'s' if most != 1 else ''}"


def _page(datasets: Sequence[str], sections: dict[str, str]) -> str:
    """Put sections, given as HTML, under their titles."""
    simulated = [name for name in datasets if name.startswith(SIMULATED)]
    names = escape(", ".join(datasets))
    heading, warning = f"ECG delineation on {names}", ""
    if simulated:
        heading += ": <strong>simulated data</strong>"
        which = "All" if len(simulated) == len(datasets) else escape(", ".join(simulated))
        warning = (
            f'<p class="alert">{which}: made-up records whose waves are known by construction. '
            "These numbers show that the pipeline works, not how well a system delineates real "
            "ECG; no known numbers of real data sets are shown beside them.</p>"
        )
    anchors = {title: title.lower().replace(" ", "-") for title in sections}
    links = "".join(f'<a href="#{anchors[title]}">{escape(title)}</a>' for title in sections)
    body = "".join(
        f'<section id="{anchors[title]}"><h2>{escape(title)}</h2>\n{html}</section>\n'
        for title, html in sections.items()
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>ECG delineation on {names}{' (simulated data)' if simulated else ''}</title>"
        f"<style>{STYLE}</style></head><body>\n<h1>{heading}</h1>\n{warning}\n"
        f"<nav>{links}</nav>\n{body}</body></html>\n"
    )


def _figure(svg: str, caption: str, *, small: bool = False) -> str:
    """Embed an SVG as an image of its own, so that its names and styles stay inside."""
    data = base64.b64encode(svg.encode()).decode()
    return (
        f'<figure{" class=small" if small else ""}><div class="scroll">'
        f'<img alt="{escape(caption)}" src="data:image/svg+xml;base64,{data}"></div>'
        f"<figcaption>{escape(caption)}</figcaption></figure>\n"
    )


def _table(caption: str, head: str, body: str, notes: Sequence[str] = ()) -> str:
    """Put rows, given as HTML, under a caption, and numbered sources below them."""
    sources = "".join(f"<li>{escape(note)}</li>" for note in notes)
    below = f'<div class="sources">Sources of the known numbers<ol>{sources}</ol></div>\n'
    return (
        f'<p class="about">{escape(caption)}</p>\n<div class="scroll"><table>\n'
        f"<thead>{head}</thead>\n<tbody>{body}</tbody></table></div>\n{below if notes else ''}"
    )


def _about(rows: pd.DataFrame, *more: str) -> str:
    """Say what the rows of a table rest on."""
    none = " (none from a single record)" if min(rows["n_records"]) == 1 else ""
    seeds = sorted({seed for seed in rows["seed"] if seed not in ("", MEAN_SEED)})
    n_seeds = rows.loc[rows["seed"] == MEAN_SEED, "n_seeds"]
    if len(n_seeds):
        seeds.append(f"mean of {_count(n_seeds, 'seed')}, with the least and the largest F1")
    parts = [
        *more,
        f"{rows['split'].iloc[0]} split, {_count(rows['n_records'], 'record')}, "
        f"{_count(rows['n_sequences'], 'strip')} (record, lead, window)",
        f"seeds of the trained settings: {', '.join(seeds) or 'none'}",
        f"in brackets 95 % intervals from {_count(rows['bootstrap'], 'bootstrap resample')} "
        f"of the records{none}",
    ]
    return "; ".join(parts) + "."


def _same_place(published: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the known numbers of the data set and split that ``rows`` are of."""
    return where(published, dataset=rows["dataset"].iloc[0], split=rows["split"].iloc[0])


def _known(published: pd.DataFrame, notes: list[str], **wanted: object) -> str:
    """Write the known number for these values of columns, if there is one, and note its source."""
    found = published if published.empty else where(published, **wanted)
    if found.empty:
        return ""
    row = found.iloc[0]
    note = f"{row['source']} {row['tag']}"
    if note not in notes:
        notes.append(note)
    return (
        f'<small class="published">{row["value"]:.3f} {escape(str(row["tag"]))}'
        f"<sup>{notes.index(note) + 1}</sup></small>"
    )


def _rate(row: pd.DataFrame) -> str:
    """Write F1 and its interval, given the one row of a table that holds them, or none."""
    if row.empty:
        return NONE
    names = ("f1", "f1_lo", "f1_hi", "f1_min", "f1_max")
    f1, low, high, least, most = (row[name].iloc[0] for name in names)
    interval = "" if pd.isna(low) else f"<small>[{_number(low)}, {_number(high)}]</small>"
    extremes = "" if pd.isna(least) else f"<small>{_number(least)} to {_number(most)}</small>"
    return _number(f1) + interval + extremes


def _score_table(
    rows: pd.DataFrame,
    published: pd.DataFrame,
    columns: Sequence[tuple[str, str, dict[str, str]]],
    caption: str,
) -> str:
    """Lay out F1 of one data set and split: a row per system, then systems known from elsewhere.

    Parameters
    ----------
    rows, published : DataFrame
        Scores and known numbers.
    columns : sequence of (str, str, dict)
        Heading of a group of columns, heading of the column, and the values that choose its
        scores.
    caption : str
    """
    published = _same_place(published, rows)
    notes: list[str] = []

    def known(system: str, chosen: dict[str, str]) -> str:
        keys = dict(chosen)
        target = keys.pop("wave", keys.pop("boundary", None))
        return _known(published, notes, metric="f1", system=system, target=target, **keys)

    groups = list(dict.fromkeys(group for group, _, _ in columns))
    head = '<tr><th rowspan="2">System</th>'
    for group in groups:
        n_columns = sum(own == group for own, _, _ in columns)
        head += f'<th class="group" colspan="{n_columns}">{escape(group)}</th>'
    head += "</tr><tr>" + "".join(f"<th>{escape(name)}</th>" for _, name, _ in columns) + "</tr>"
    body = ""
    systems = _systems(rows)
    for system, seed in systems:
        own = where(rows, system=system, seed=seed)
        cells = "".join(
            f"<td>{_rate(where(own, **chosen))}{known(system, chosen)}</td>"
            for _, _, chosen in columns
        )
        body += f"<tr><td>{escape(_label(system, seed))}</td>{cells}</tr>\n"
    ours = {system for system, _ in systems}
    elsewhere = [name for name in dict.fromkeys(published["system"]) if name not in ours]
    others = {name: [known(name, chosen) for _, _, chosen in columns] for name in elsewhere}
    others = {name: cells for name, cells in others.items() if any(cells)}
    if others:
        body += f'<tr><th class="of" colspan="{len(columns) + 1}">Known, not in this run</th></tr>'
    for name, found in others.items():
        cells = "".join(f"<td>{cell}</td>" for cell in found)
        body += f"<tr><td>{escape(name)}</td>{cells}</tr>\n"
    return _table(caption, head, body, notes)


def _places_scored(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Split a metric table by data set and split, each with a heading."""
    return [
        (f"<h3>{escape(str(dataset))}, {escape(str(split))} split</h3>\n", rows)
        for (dataset, split), rows in table.groupby(["dataset", "split"], sort=False)
    ]


def _frame_tables(table: pd.DataFrame, published: pd.DataFrame, frame_ms: float) -> str:
    """Lay out frame F1 of all systems, a table per data set and split."""
    columns = [
        (protocol, wave, {"protocol": protocol, "lead_group": "all", "wave": wave})
        for protocol in FRAME_PROTOCOLS
        for wave in WAVES
    ]
    html = ""
    for heading, rows in _places_scored(where(table, lead_group="all")):
        caption = _about(rows, f"F1 of frames of {frame_ms:g} ms, both protocols, all leads")
        html += heading + _score_table(rows, published, columns, caption)
    return html


def _macro_tables(table: pd.DataFrame, published: pd.DataFrame) -> str:
    """Lay out boundary macro F1 of all systems, a table per data set and split."""
    html = ""
    for heading, rows in _places_scored(where(table, boundary="macro")):
        groups = [group for group in LEAD_GROUPS if group in set(rows["lead_group"])]
        columns = [
            (
                f"{protocol}, {LEAD_GROUPS[group]}",
                title,
                {"protocol": protocol, "tolerance": tolerance, "lead_group": group}
                | {"boundary": "macro"},
            )
            for protocol in FRAME_PROTOCOLS
            for group in groups
            for tolerance, title in TOLERANCE_NAMES.items()
        ]
        caption = _about(
            where(rows, lead_group="all"),
            "Mean F1 of P on, P off, QRS on, QRS off, T on and T off",
            *[
                f"{LEAD_GROUPS[group]}: "
                + _count(where(rows, lead_group=group)["n_records"], "record")
                for group in groups
                if group != "all"
            ],
        )
        html += heading + _score_table(rows, published, columns, caption)
    return html


def _boundary_tables(table: pd.DataFrame, published: pd.DataFrame) -> str:
    """Lay out every boundary of every system, a table per data set and split."""
    shown = {"protocol": "annotated_span", "tolerance": "martinez", "lead_group": "all"}
    titles = ["Boundary", "Tolerance", "F1", "Se", "PPV", "Error, mean ± SD", "median", "p95"]
    titles += ["True", "Predicted", "Matched"]
    head = "<tr>" + "".join(f"<th>{title}</th>" for title in titles) + "</tr>"
    html = ""
    for heading, rows in _places_scored(where(table, **shown)):
        known = _same_place(published, rows)
        notes: list[str] = []
        body = ""
        for system, seed in _systems(rows):
            body += (
                f'<tr><th class="of" colspan="{len(titles)}">{escape(_label(system, seed))}</th>'
            )
            body += "</tr>\n"
            own = where(rows, system=system, seed=seed)
            for boundary in BOUNDARIES:
                one = where(own, boundary=boundary)
                if one.empty:
                    continue
                place = shown | {"system": system, "target": boundary}
                row = one.iloc[0]
                cells = [
                    boundary.replace("_", " "),
                    f"{row['tolerance_ms']:.0f} ms",
                    _rate(one) + _known(known, notes, metric="f1", **place),
                    _number(row["sensitivity"])
                    + _known(known, notes, metric="sensitivity", **place),
                    _number(row["ppv"]) + _known(known, notes, metric="ppv", **place),
                    f"{_ms(row['mean_ms'], sign='+')} ± {_ms(row['sd_ms'])}",
                    _ms(row["median_ms"]),
                    _ms(row["p95_ms"]),
                    *(_whole(row[name]) for name in ("n_true", "n_pred", "n_hits")),
                ]
                body += "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>\n"
        caption = _about(
            rows,
            "Protocol annotated_span, Martinez tolerances, all leads",
            "errors are predicted minus reference in ms, over matched boundaries; median and p95 "
            "are of the absolute error",
        )
        html += heading + _table(caption, head, body, notes)
    return html


def _ms(value: float, *, sign: str = "") -> str:
    """Write a time in ms with one decimal; a rounded zero has no minus."""
    return NONE if pd.isna(value) else f"{round(value, 1) + 0.0:{sign}.1f}"


def _stream_tables(paths: Sequence[Path]) -> str:
    """Lay out the comparison of the token streams, a table per data set and split."""
    groups = {
        "Frame F1": {wave: f"f1_{wave}" for wave in WAVES},
        "Boundary macro F1": {title: f"{name}_macro" for name, title in TOLERANCE_NAMES.items()},
    }
    plain = {"Q-loss": "q_loss", "failed": "n_failed", "of leads": "n_streams"}
    plain |= {"ms per lead": "ms_per_lead", "NeuroKit alone": "neurokit_ms_per_lead"}
    head = '<tr><th rowspan="2">System</th>'
    for protocol in FRAME_PROTOCOLS:
        for group, columns in groups.items():
            head += f'<th class="group" colspan="{len(columns)}">{group}, {protocol}</th>'
    head += f'<th class="group" colspan="{len(plain)}">Both</th></tr><tr>'
    head += "".join(
        f"<th>{name}</th>" for _ in FRAME_PROTOCOLS for own in groups.values() for name in own
    )
    head += "".join(f"<th>{name}</th>" for name in plain) + "</tr>"
    html = ""
    for heading, rows in (found for path in paths for found in _places_scored(read_tsv(path))):
        body = ""
        for system, own in rows.groupby("system", sort=False):
            by_protocol = {row["protocol"]: row for _, row in own.iterrows()}
            one = own.iloc[0]
            cells = [
                _rate_of(by_protocol[protocol], name)
                for protocol in FRAME_PROTOCOLS
                for columns in groups.values()
                for name in columns.values()
            ]
            cells += [_number(one["q_loss"]), str(one["n_failed"]), str(one["n_streams"])]
            cells += [_ms(one["ms_per_lead"]), _ms(one["neurokit_ms_per_lead"])]
            label = f"{escape(str(system))}<small>{escape(_stream_label(one))}</small>"
            body += f"<tr><td>{label}</td>" + "".join(f"<td>{cell}</td>" for cell in cells)
            body += "</tr>\n"
        caption = (
            "Token streams by NeuroKit method and detector of pacemaker spikes; all leads, "
            f"Martinez tolerances and 150 ms; {rows['split'].iloc[0]} split, "
            f"{_count(rows['n_records'], 'record')}, no seed; in brackets 95 % intervals by "
            "bootstrap over the records. Q-loss: share of NeuroKit's Q peaks whose beat has no Q "
            "in the stream. Times are of the machine of this run: ms for a lead of one window, "
            "from signal to words, beside NeuroKit alone."
        )
        html += heading + _table(caption, head, body)
    return html


def _rate_of(row: pd.Series, name: str) -> str:
    """Write a rate of a row, and its interval where the row has one."""
    interval = [row.get(f"{name}_{end}") for end in ("lo", "hi")]
    if any(pd.isna(end) for end in interval):
        return _number(row[name])
    return _number(row[name]) + f"<small>[{', '.join(map(_number, interval))}]</small>"


def _stream_label(row: pd.Series) -> str:
    return f"{row['method']}, {str(row['pacer']).replace('_', ' ')} pacer, {row['grid']} grid"


def _stage1_tables(paths: Sequence[Path]) -> str:
    """Lay out what openecg 0.1.0 set itself as goals, a table per data set and split."""
    figure = ["metric", "feature", "tolerance", "protocol"]
    html = ""
    for heading, rows in (found for path in paths for found in _places_scored(read_tsv(path))):
        asked = read_tsv(GOALS)[figure[:3]].fillna("").apply(tuple, axis=1)
        rows = rows.fillna({"tolerance": ""})
        rows = rows[rows[figure[:3]].apply(tuple, axis=1).isin(asked)]
        if rows.empty:
            continue
        systems = list(dict.fromkeys(rows["system"]))
        head = "<th>Figure</th><th>Goal</th>"
        head += "".join(f"<th>{escape(system)}</th>" for system in systems)
        notes: list[str] = []
        body = ""
        for key, own in rows.groupby(figure, sort=False):
            metric, feature, tolerance, protocol = map(str, key)
            place = ", ".join(part for part in (protocol, TOLERANCE_NAMES.get(tolerance)) if part)
            label = f"{escape(feature.replace('_', ' '))}: {escape(metric.replace('_', ' '))}"
            goals = own["goal"].dropna()
            goal = escape(str(goals.iloc[0])) if len(goals) else NONE
            cells = "".join(
                f"<td>{_stage1_cell(where(own, system=system), notes)}</td>" for system in systems
            )
            body += f"<tr><td>{label}<small>{escape(place)}</small></td><td>{goal}</td>{cells}</tr>"
            body += "\n"
        caption = (
            "Figures that openecg 0.1.0 set goals for. It set them for LUDB and the full window; "
            "nk_original is its own way. The Q-loss it published counts events, by which a Q that "
            "a pacer spike cuts in two counts twice (q loss events); q loss counts beats. All "
            "leads; in brackets 95 % intervals."
        )
        html += heading + _table(caption, f"<tr>{head}</tr>", body, notes)
    return html


def _stage1_cell(found: pd.DataFrame, notes: list[str]) -> str:
    """Write a value, its interval, whether it meets the goal, and the published one."""
    if found.empty:
        return NONE
    row = found.iloc[0]
    text = _ms if str(row["metric"]).endswith("_ms") else _number
    cell = text(row["value"])
    if not pd.isna(row["met"]):
        cell += " met" if str(row["met"]) == "True" else " not met"
    if not pd.isna(row["value_lo"]):
        cell += f"<small>[{text(row['value_lo'])}, {text(row['value_hi'])}]</small>"
    if not pd.isna(row["known"]):
        note = f"{row['source']} {row['tag']}"
        if note not in notes:
            notes.append(note)
        cell += f'<small class="published">{text(row["known"])} {escape(str(row["tag"]))}'
        cell += f"<sup>{notes.index(note) + 1}</sup></small>"
    return cell


def _pacing_tables(paths: Sequence[Path]) -> str:
    """Lay out the comparisons of the detectors of pacemaker spikes."""
    html = ""
    for path in paths:
        table = read_tsv(path)
        if "heart" in table:
            html += _timing_table(table)
            continue
        titles = ["Detector", "Leads", "Rate", "Records", "Paced found", "Unpaced called paced"]
        titles += ["Leads' spikes per 10 s, unpaced", "Leads that show spikes, paced"]
        head = "".join(f"<th>{title}</th>" for title in titles)
        body = ""
        for _, row in table.iterrows():
            cells = [
                f"{escape(row['detector'])}<small>thresholds from: "
                f"{escape(row['selection'])}</small>",
                escape(row["leads"]),
                f"{row['fs_hz']} Hz",
                escape(row["group"]),
                f"{row['n_found']:.0f} of {row['n_paced']:.0f}{_interval(row, 'sensitivity')}",
                f"{row['n_false']:.0f} of {row['n_unpaced']:.0f}{_interval(row, 'false_share')}",
                _number(row["spikes_per_10_s"]),
                _ms(row["mean_leads"]),
            ]
            body += "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>\n"
        dataset = path.stem.removeprefix("pacing_")
        caption = (
            f"{dataset}: does a record have a pacemaker? In brackets 95 % Wilson intervals of the "
            "share. Spikes per 10 s are summed over the leads of the records without one. "
            "coincidence_cv: thresholds selected without the fold of the record; coincidence: "
            "those that are shipped, selected on the training records of ludb. The detector itself "
            "and its other constants were set by hand with all records of ludb in view, which "
            "cross-validation does not cover. high_pass is the detector of openecg 0.1.0, for "
            "which any spike in any lead counts; on which records its constants were set is not "
            "known."
        )
        html += f"<h3>{escape(dataset)}</h3>\n" + _table(caption, f"<tr>{head}</tr>", body)
    return html


def _timing_table(table: pd.DataFrame) -> str:
    """Lay out how exactly simulated spikes are timed."""
    names = ["detector", "heart", "fs_hz", "n_called_paced", "n_strips", "n_spikes", "n_called"]
    names += ["n_hits", "spike_sensitivity", "spike_ppv", "mean_ms", "sd_ms", "p95_ms"]
    head = "".join(f"<th>{name.replace('_', ' ')}</th>" for name in names)
    table = table.astype({"fs_hz": int})
    body = "".join(
        "<tr>" + "".join(f"<td>{_count_or_rate(n, row[n])}</td>" for n in names) + "</tr>\n"
        for _, row in table.iterrows()
    )
    caption = (
        "Simulated pulses of 0.5 to 2 ms, drawn at 4 kHz or more and low-passed on the way to each "
        "rate; errors in ms, against their true middles, of those found within "
        f"{TIMED_TOLERANCE_MS:g} ms. Half a sample is the least error there can be."
    )
    return "<h3>Simulated spikes</h3>\n" + _table(caption, f"<tr>{head}</tr>", body)


def _interval(row: pd.Series, name: str) -> str:
    """Write the interval of a share, if it has one."""
    ends = [row[f"{name}_lo"], row[f"{name}_hi"]]
    return "" if any(map(pd.isna, ends)) else f"<small>[{', '.join(map(_number, ends))}]</small>"


def _count_or_rate(column: str, value: object) -> str:
    return f"{value:.0f}" if column.startswith("n_") else _cell(column, value)


def _automatic_tables(paths: Sequence[Path]) -> str:
    """Lay out the scorer checks as they are; known numbers only where the data set is real."""
    html = ""
    for path in paths:
        table = read_tsv(path)
        dataset = path.stem.removeprefix("automatic_")
        caption = (
            f"{dataset}, all records, no split and no seed: the automatic marks that come with the "
            "data set against its expert's, scored by the classical protocol named in the table. "
            "Mean and SD in ms, averaged over records; no interval."
        )
        if dataset.startswith(SIMULATED):
            known = [name for name in table if str(name).startswith("published")]
            table = table.drop(columns=[*known, "source"], errors="ignore")
        else:
            caption += " Where they equal the published figures, the scorer agrees with others'."
        notes = list(dict.fromkeys(table.get("source", pd.Series(dtype=str)).dropna()))
        table = table.drop(columns="source", errors="ignore").set_index("protocol")
        columns = [str(name) for name in table.columns]
        head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in columns)
        body = ""
        for protocol, rows in table.groupby(level=0, sort=False):
            body += f'<tr><th class="of" colspan="{len(columns)}">{escape(str(protocol))}'
            body += "</th></tr>\n"
            for _, row in rows.iterrows():
                cells = "".join(f"<td>{_cell(name, row[name])}</td>" for name in columns)
                body += f"<tr>{cells}</tr>\n"
        html += f"<h3>{escape(dataset)}</h3>\n" + _table(caption, f"<tr>{head}</tr>", body, notes)
    return html


def _cell(column: str, value: object) -> str:
    """Write any value of a table, by the unit its column names."""
    if isinstance(value, float):
        return _ms(value) if column.endswith("_ms") else _number(value)
    return escape(str(value)).replace("_", " ")


def _curves_html(histories: dict[str, pd.DataFrame]) -> str:
    """Draw the training curves; nothing without trained settings."""
    if not histories:
        return ""
    epochs = "; ".join(f"{run}: {len(table)} epochs" for run, table in histories.items())
    return _figure(
        training_curves(histories),
        "Loss and frame F1 on the tuning records, which come from the training side. A ring marks "
        f"the epoch with the best mean F1. {epochs}.",
    )


def _draw_strips(predictions: Sequence[Path], shards: Sequence[Path], n_strips: int) -> list[str]:
    """Draw some leads with true and predicted waves, as HTML figures.

    The waves shown are those of each trained setting's lowest seed, or of all systems if none was
    trained.
    """
    names = ["system", "seed", "split", *KEYS, "frames", "wave_kind", "on_ms", "off_ms"]
    found = [read_parquet(path, columns=names) for path in predictions]
    found = [table for table in found if table.num_rows]
    trained = [table for table in found if table["seed"][0].as_py()]
    lowest: dict[tuple[str, str], pa.Table] = {}
    for table in sorted(trained or found, key=lambda one: int(one["seed"][0].as_py() or 0)):
        first = table.slice(0, 1).to_pylist()[0]
        lowest.setdefault((first["system"], first["dataset"]), table)
    systems = pa.concat_tables(list(lowest.values())).to_pandas()
    truth_names = [*KEYS, "split", "fs_hz", "signal", "labels", "wave_kind", "on_ms", "off_ms"]
    truth_names += ["span_on_ms", "span_off_ms"]
    wanted = pa.array(sorted(set(systems["split"])))
    tables = (read_parquet(path, columns=truth_names) for path in shards)
    truth = pa.concat_tables(
        [table.filter(pc.is_in(table["split"], value_set=wanted)) for table in tables]
    ).to_pandas()
    both = systems.merge(truth, on=[*KEYS, "split"], suffixes=("", "_true"))
    if both.empty:
        raise DataError(
            f"{predictions[0]}: no strip in common with {shards[0]}; rows must agree in "
            f"{', '.join([*KEYS, 'split'])}"
        )
    both["error"] = [
        _share_wrong(labels, frames)
        for labels, frames in zip(both["labels"], both["frames"], strict=True)
    ]
    errors = both.groupby(KEYS, sort=False)["error"].mean().dropna().reset_index()
    html = []
    for key in choose_strips(errors, n_strips).itertuples(index=False):
        rows = both[(both[KEYS] == [key.dataset, key.record_id, key.lead, key.window]).all(axis=1)]
        html.append(_strip_html(rows, str(key.why)))
    return html


def _share_wrong(labels: npt.NDArray[np.uint8], frames: npt.NDArray[np.uint8]) -> float:
    """Return the share of annotated frames that are called otherwise; NaN if none is annotated."""
    known = np.asarray(labels) != IGNORE
    return float(np.mean((labels != frames)[known])) if known.any() else float("nan")


def _strip_html(rows: pd.DataFrame, why: str) -> str:
    """Draw one lead, given a row for each system."""
    one = rows.iloc[0]
    wrong = {
        _label(row["system"], row["seed"]): f"{100 * row['error']:.1f} %"
        for _, row in rows.iterrows()
    }
    title = f"{one['dataset']} {one['record_id']}, lead {one['lead']}, window {one['window']}"
    svg = strip(
        np.asarray(one["signal"], dtype=np.float32),
        fs_hz=float(one["fs_hz"]),
        truth=Spans(one["wave_kind_true"], one["on_ms_true"], one["off_ms_true"]),
        predicted={
            _label(row["system"], row["seed"]): Spans(row["wave_kind"], row["on_ms"], row["off_ms"])
            for _, row in rows.iterrows()
        },
        span_ms=(float(one["span_on_ms"]), float(one["span_off_ms"])),
        title=title,
    )
    shares = "; ".join(f"{system} {share}" for system, share in wrong.items())
    return _figure(
        svg,
        f"{title}, {one['split']} split: {why}. Annotated frames called wrongly: {shares}.",
    )


def _places(sources: dict[str, list[Path]], folder: Path) -> str:
    """List the files behind the page, by their path from its folder; many in a folder as one."""
    items = ""
    for what, paths in sources.items():
        for parent in dict.fromkeys(path.parent for path in paths):
            inside = [path for path in paths if path.parent == parent]
            place = inside[0] if len(inside) == 1 else parent
            to = Path(os.path.relpath(place, folder)).as_posix()
            count = f" ({len(inside)} files)" if len(inside) > 1 else ""
            link = f'<a href="{quote(to)}"><code>{escape(to)}</code></a>'
            items += f"<li>{link}{count}: {escape(what)}</li>\n"
    return f"<p>Paths from the folder of this page.</p><ul>{items}</ul>"
