"""One self-contained page with the metric tables, curves, strips and rule graph of a run."""

import json
import logging
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from openecg.datasets import SIMULATED
from openecg.files import read_tsv, written_aside
from openecg.headline import tolerance_text
from openecg.made import current_note
from openecg.plots import training_curves
from openecg.report.calibration import calibration_html, grid_html
from openecg.report.checks import (
    automatic_tables,
    pacing_tables,
    stage1_tables,
    stream_tables,
    time_tables,
)
from openecg.report.effects import effect_tables
from openecg.report.parts import figure
from openecg.report.strips import draw_strips
from openecg.report.tables import printed_tables

log = logging.getLogger(__name__)

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
h4 { font-size: 0.95rem; margin: 1rem 0 0.2rem; }
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
  white-space: normal; overflow-wrap: anywhere; min-width: 12rem; max-width: 16rem; }
tbody tr:nth-child(even) { background: var(--shade); }
tbody th.of { text-align: left; padding: 0.7rem 0.3rem 0.2rem; background: var(--page); }
td small { display: block; color: var(--soft); font-size: 0.8rem; line-height: 1.3; }
td small:empty { display: none; }
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
  figure, tr, h2, h3, h4 { break-inside: avoid; }
  h2, h3, h4, .about { break-after: avoid; }
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
missing boundary of a wave that is only half annotated, nor one of P in a lead in sinus rhythm
without one P mark; <code>annotated_span_unexcused</code> counts the last two as false.</dd>
<dt>Protocol <code>edge_filtered</code></dt><dd>Of openecg from 0.2.0 on: what is more than 100 ms
outside the annotated part is left out, and nothing is excused.</dd>
<dt>Protocol <code>unstated</code></dt><dd>Of known numbers only, with split <code>own</code>: what
a source does not say.</dd>
<dt>Training</dt><dd><code>masked</code>: frames that nobody annotated are not learnt from;
<code>original</code>: they are none of the waves, as in openecg 0.1.0.</dd>
<dt>Split</dt><dd>All leads and windows of a record are on one side. A model never sees the
records it is scored on; the epoch is chosen on tuning records taken from the training side.</dd>
<dt>Seed</dt><dd>Sets the start and the order of one training. NeuroKit has none. Of several seeds
the mean is shown, and the least and the largest F1; the difference between seeds is not part of the
intervals.</dd>
<dt>Interval</dt><dd>In brackets: 95 %, by drawing whole records with replacement and scoring
again, with the same records for all seeds. It says how much the number depends on which records
were in the split.</dd>
<dt>Known numbers</dt><dd>In colour, with their source below the table: earlier numbers for the
real data set of the same name, with the same split, protocol, tolerance, leads and records. [pub]
published by the authors of openecg, [ours] measured for this project, [P] read in the primary
source, [S] in a secondary one, [C] computed from public annotations, [M] from memory and
unverified. They belong to real records, so they never stand beside data sets whose name starts with
<code>{simulated}</code>. They stand beside what is made alike, not made the same: like those named
<code>_unmasked</code> here the published settings learnt from all frames, but their training was
stopped, and mostly their epoch picked, by the very validation records that they are reported on,
where <code>_unmasked</code> keeps the last of 50; v1.1 of openecg had up to 100.
The cleanings of openecg 0.1.0 (decodings <code>original</code>, <code>shift</code>,
<code>trim</code>) were chosen on the validation records too. The published NeuroKit rows had the
spike detector of <code>nk_original</code>.</dd>
</dl>
"""


def write_report(
    *,
    datasets: list[str],
    tables: list[Path],
    numbers: Path,
    runs: Path,
    effects: list[Path],
    calibrations: list[Path],
    grids: list[Path],
    histories: list[Path],
    predictions: list[Path],
    shards: list[Path],
    rule_graph: Path,
    ablation: list[Path],
    stage1: list[Path],
    timings: list[Path],
    model_times: list[Path],
    pacing: list[Path],
    automatic: list[Path],
    cards: list[Path],
    frame_ms: float,
    strips: int,
    report: Path,
) -> None:
    """Write one HTML page that shows a run and needs no other file.

    Parameters
    ----------
    datasets : list of str
        Data sets of the run.
    tables : list of Path
        Tables of ``write-table``, in the order in which they are shown.
    numbers : Path
        The long table of all numbers. Only listed.
    runs : Path
        What each system is.
    effects : list of Path
        Systems against those that they are made from; none without such pairs.
    calibrations, grids : list of Path
        Tables of ``calibrate``, and of ``score-decoding-grid``; none without such systems.
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
    model_times : list of Path
        What the models cost (``time-models``); none without models.
    pacing : list of Path
        Comparisons of the detectors of pacemaker spikes; none without the LUDB layout.
    automatic : list of Path
        Tables that check the scorer; none without QTDB.
    cards : list of Path
        Model cards. Only listed.
    frame_ms : float
        Length of a frame in ms.
    strips : int
        Number of leads drawn, as far as there are any.
    report : Path
        HTML to write.

    Raises
    ------
    DataError
        If predictions and shards have no strip in common.
    """
    curves = {f"{p.parent.parent.name}/{p.parent.name}": read_tsv(p) for p in histories}
    drawn = draw_strips(predictions, shards, strips)
    made = pd.read_csv(runs, sep="\t", dtype=str, keep_default_na=False)
    sources = {
        "Printed tables": tables,
        "All numbers, one row for each, with known ones beside": [numbers],
        "Systems: what they learnt from, and how": [runs],
        "Effects of changes, on the same records": effects,
        "A grid of cleanings": grids,
        "Calibration of probabilities": calibrations,
        "Token streams: scores, Q-loss, failures, time": ablation,
        "Token streams beside published figures": stage1,
        "Times of the token streams": timings,
        "Times of the models": model_times,
        "Pacemaker spikes: records by detector, simulated spikes in time": pacing,
        "Scorer check": automatic,
        "Model cards: data, selection, numbers, limits": cards,
        "Training histories, one row per epoch": histories,
        "Predictions: frames, waves in ms": predictions,
        "Shards: signals, frame labels, marks in ms": shards,
        "Rule graph": [rule_graph],
    }
    sections = {
        "Tables": printed_tables(tables),
        "Effects": effect_tables(effects, made),
        "Decoding grid": grid_html(grids, made),
        "Calibration": calibration_html(calibrations, made),
        "Speed": time_tables(model_times),
        "Token streams": stream_tables(ablation),
        "Stage 1": stage1_tables(stage1),
        "Pacing": pacing_tables(pacing),
        "Scorer check": automatic_tables(automatic),
        "Training": _curves_html(curves),
        "Strips": "\n".join(drawn),
        "Rule graph": figure(
            rule_graph.read_text(encoding="utf-8"),
            "The rules of this run; an arrow leads from the rule that makes files to a user.",
            small=True,
        ),
        "Where each table lies": _places(sources, report.parent),
        "Made by": made_html(current_note()),
        "How to read": HOW_TO_READ.format(
            frame_ms=f"{frame_ms:g}", tolerances=tolerance_text(), simulated=SIMULATED
        ),
    }
    page = _page(datasets, {title: body for title, body in sections.items() if body})
    with written_aside(report) as aside:
        aside.write_text(page, encoding="utf-8")
    log.info("%s: %d data sets, %d strips drawn", report, len(datasets), len(drawn))


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


def _curves_html(histories: dict[str, pd.DataFrame]) -> str:
    """Draw the training curves; nothing without trained settings."""
    if not histories:
        return ""
    epochs = "; ".join(f"{run}: {len(table)} epochs" for run, table in histories.items())
    return figure(
        training_curves(histories),
        "Loss and frame F1 on the tuning records, which come from the training side. A ring marks "
        f"the epoch with the best mean F1. {epochs}.",
    )


def made_html(note: str) -> str:
    """Say which commit, data and packages made the page; nothing where that is not noted."""
    if not note:
        return ""
    made = json.loads(note)
    told = {
        "Commit": f"{made['commit']}, code {made['code']}",
        "Data": "; ".join(f"{name}: sha256 {sha256}" for name, sha256 in made["data"].items()),
        "Versions": ", ".join(f"{name} {number}" for name, number in made["versions"].items()),
    }
    items = "".join(f"<li>{name}: {escape(text)}</li>\n" for name, text in told.items())
    each = "<p>Of any other file, <code>python -m openecg show PATH</code> tells the same.</p>"
    return f"<ul>{items}</ul>{each}"


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
