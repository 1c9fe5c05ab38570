"""Sections that lay out whole tables: token streams, stage 1, pacing, the check of the scorer."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import pandas as pd

from openecg.datasets import SIMULATED
from openecg.files import read_tsv
from openecg.headline import TOLERANCE_NAMES, WAVES
from openecg.pacing_table import TIMED_TOLERANCE_MS
from openecg.report.parts import NONE, count, html_table, ms, number
from openecg.score import FRAME_PROTOCOLS
from openecg.stage1 import GOALS
from openecg.tables import where


def stream_tables(paths: Sequence[Path]) -> str:
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
            cells += [number(one["q_loss"]), str(one["n_failed"]), str(one["n_streams"])]
            cells += [ms(one["ms_per_lead"]), ms(one["neurokit_ms_per_lead"])]
            label = f"{escape(str(system))}<small>{escape(_stream_label(one))}</small>"
            body += f"<tr><td>{label}</td>" + "".join(f"<td>{cell}</td>" for cell in cells)
            body += "</tr>\n"
        caption = (
            "Token streams by NeuroKit method and detector of pacemaker spikes; all leads, "
            f"Martinez tolerances and 150 ms; {rows['split'].iloc[0]} split, "
            f"{count(rows['n_records'], 'record')}, no seed; in brackets 95 % intervals by "
            "bootstrap over the records. Q-loss: share of NeuroKit's Q peaks whose beat has no Q "
            "in the stream. Times are of the machine of this run: ms for a lead of one window, "
            "from signal to words, beside NeuroKit alone."
        )
        html += heading + html_table(caption, head, body)
    return html


def _rate_of(row: pd.Series, name: str) -> str:
    """Write a rate of a row, and its interval where the row has one."""
    interval = [row.get(f"{name}_{end}") for end in ("lo", "hi")]
    if any(pd.isna(end) for end in interval):
        return number(row[name])
    return number(row[name]) + f"<small>[{', '.join(map(number, interval))}]</small>"


def _stream_label(row: pd.Series) -> str:
    return f"{row['method']}, {str(row['pacer']).replace('_', ' ')} pacer, {row['grid']} grid"


def stage1_tables(paths: Sequence[Path]) -> str:
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
        html += heading + html_table(caption, f"<tr>{head}</tr>", body, notes)
    return html


def _stage1_cell(found: pd.DataFrame, notes: list[str]) -> str:
    """Write a value, its interval, whether it meets the goal, and the published one."""
    if found.empty:
        return NONE
    row = found.iloc[0]
    text = ms if str(row["metric"]).endswith("_ms") else number
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


def pacing_tables(paths: Sequence[Path]) -> str:
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
                number(row["spikes_per_10_s"]),
                ms(row["mean_leads"]),
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
        html += f"<h3>{escape(dataset)}</h3>\n" + html_table(caption, f"<tr>{head}</tr>", body)
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
    return "<h3>Simulated spikes</h3>\n" + html_table(caption, f"<tr>{head}</tr>", body)


def _interval(row: pd.Series, name: str) -> str:
    """Write the interval of a share, if it has one."""
    ends = [row[f"{name}_lo"], row[f"{name}_hi"]]
    return "" if any(map(pd.isna, ends)) else f"<small>[{', '.join(map(number, ends))}]</small>"


def _count_or_rate(column: str, value: object) -> str:
    return f"{value:.0f}" if column.startswith("n_") else _cell(column, value)


def automatic_tables(paths: Sequence[Path]) -> str:
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
        html += f"<h3>{escape(dataset)}</h3>\n" + html_table(
            caption, f"<tr>{head}</tr>", body, notes
        )
    return html


def _cell(column: str, value: object) -> str:
    """Write any value of a table, by the unit its column names."""
    if isinstance(value, float):
        return ms(value) if column.endswith("_ms") else number(value)
    return escape(str(value)).replace("_", " ")


def _places_scored(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Split a metric table by data set and split, each with a heading."""
    return [
        (f"<h3>{escape(str(dataset))}, {escape(str(split))} split</h3>\n", rows)
        for (dataset, split), rows in table.groupby(["dataset", "split"], sort=False)
    ]


def time_tables(paths: Sequence[Path]) -> str:
    """Lay out what the models cost, a table per data set."""
    html = ""
    for path in paths:
        rows = read_tsv(path)
        shares = [name for name in rows.columns if name.startswith("share_of_")]
        names = [name.removeprefix("share_of_") for name in shares]
        head = "<tr><th>System</th><th>leads at a time</th><th>parameters</th><th>ms per lead</th>"
        head += "".join(f"<th>of {escape(name)}</th>" for name in names) + "</tr>"
        body = ""
        for _, row in rows.iterrows():
            size = NONE if pd.isna(row["parameters"]) else f"{int(row['parameters']):,}"
            cells = [str(row["leads"] or "all"), size, f"{row['ms_per_lead']:.2f}"]
            cells += [number(row[name]) for name in shares]
            body += f"<tr><td>{escape(row['system'])}</td>"
            body += "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>\n"
        first = rows.iloc[0]
        caption = (
            f"{first['dataset']}: from {first['n_timed']} leads of 10 s, as recorded, to waves as "
            "each is decoded, in one process, on one thread of this machine, all in "
            "turns; processor time. The last columns are shares of the time of bare NeuroKit."
        )
        html += html_table(caption, head, body)
    return html
