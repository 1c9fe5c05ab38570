"""Figures as SVG text; equal input gives equal text."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from openecg.waves import KINDS, QRS, P, T

# Okabe and Ito, "Color Universal Design", 2008: distinct with every common colour blindness.
WAVE_COLOURS = {P: "#0072B2", QRS: "#D55E00", T: "#009E73"}
LINE_COLOURS = ("#000000", "#E69F00", "#56B4E9", "#CC79A7", "#0072B2", "#D55E00", "#009E73")
FEWEST_CASES = 5  # of a point of the reliability diagram
STROKES = (("-", "o"), ("--", "s"), (":", "^"))
PAPER_LINE = "#f3c9c5"
UNMARKED = "#d4d4d4"

# Paper speed 25 mm/s: a large square, 5 mm, is 0.2 s wide and 0.5 mV high (AHA, Kligfield et al.,
# Circulation 115:1306, 2007).
SQUARE_S, SQUARE_MV = 0.2, 0.5
MOST_SQUARES = 40  # higher strips, of a lead with an artefact, get no lines across


@dataclass(frozen=True)
class Spans:
    """Waves of one lead as spans of time.

    Attributes
    ----------
    kind : ndarray of shape (n_waves,), dtype uint8
        1 P, 2 QRS, 3 T.
    on_ms, off_ms : ndarray of shape (n_waves,), dtype float64
        First and last moment, from the start of the strip; NaN where there is no mark.
    """

    kind: npt.NDArray[np.uint8]
    on_ms: npt.NDArray[np.float64]
    off_ms: npt.NDArray[np.float64]


@contextmanager
def _style() -> Iterator[None]:
    """Ignore the settings of the user's matplotlib, and name the parts of an SVG predictably."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "svg.hashsalt": "openecg",
                "font.size": 9,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.titlesize": 10,
                "axes.titlelocation": "left",
            }
        )
        yield


def _svg(figure: Figure) -> str:
    """Write a figure without date, version or address."""
    FigureCanvasSVG(figure)
    text = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(text, format="svg", metadata=nothing)
    return text.getvalue()[text.getvalue().index("<svg") :]


def training_curves(histories: Mapping[str, pd.DataFrame]) -> str:
    """Draw loss and tuning frame F1 over the epochs, one line per run.

    Parameters
    ----------
    histories : mapping of str to DataFrame
        ``setting/seed`` to a table with ``epoch``, ``train_loss``, ``tuning_loss`` and
        ``tuning_f1_P``, ``tuning_f1_QRS``, ``tuning_f1_T``, ``tuning_f1_mean``; the tuning
        columns may be empty. Runs of one setting share a colour.

    Returns
    -------
    str
        SVG. A ring marks the epoch with the best mean tuning F1 of each run.
    """
    settings = list(dict.fromkeys(run.partition("/")[0] for run in histories))
    colours = {setting: LINE_COLOURS[i % len(LINE_COLOURS)] for i, setting in enumerate(settings)}
    panels = {
        "loss": "Loss",
        "tuning_f1_P": "Tuning frame F1, P",
        "tuning_f1_QRS": "Tuning frame F1, QRS",
        "tuning_f1_T": "Tuning frame F1, T",
    }
    with _style():
        figure = Figure(figsize=(10, 5.6), layout="constrained")
        for axes, (column, title) in zip(figure.subplots(2, 2).flat, panels.items(), strict=True):
            axes.set_title(title)
            axes.set_xlabel("epoch")
            axes.grid(color="#e6e6e6", linewidth=0.6)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            if column != "loss":
                axes.set_ylim(0, 1)
                if all(history[column].isna().all() for history in histories.values()):
                    axes.text(0.5, 0.5, "no tuning records", ha="center", transform=axes.transAxes)
            for run, history in histories.items():
                colour = colours[run.partition("/")[0]]
                if column == "loss":
                    axes.plot(history["epoch"], history["train_loss"], color=colour, lw=1.2)
                    axes.plot(
                        history["epoch"], history["tuning_loss"], color=colour, lw=1.2, ls="--"
                    )
                else:
                    _f1_line(axes, history, column, colour)
        seeds = [run.partition("/")[0] for run in histories]
        handles = [
            Line2D(
                [],
                [],
                color=colour,
                label=f"setting {setting}" + _count_label(seeds.count(setting)),
            )
            for setting, colour in colours.items()
        ]
        grey = "#555555"
        handles += [
            Line2D([], [], color=grey, label="loss, training records"),
            Line2D([], [], color=grey, ls="--", label="loss, tuning records"),
            Line2D([], [], color=grey, ls="", marker="o", mfc="none", label="best mean tuning F1"),
        ]
        figure.legend(
            handles=handles, loc="outside lower center", ncols=min(len(handles), 4), frameon=False
        )
        return _svg(figure)


def reliability(tables: Mapping[str, pd.DataFrame], *, title: str) -> str:
    """Draw how often probabilities come true, a panel for each level and wave.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Name of a system to its rows of one data set: ``level target bin n probability observed
        observed_lo observed_hi``; bins of fewer than ``FEWEST_CASES`` are left out, and
        bin ``all`` is.
    title : str

    Returns
    -------
    str
        SVG. On the diagonal probabilities mean what they say.
    """
    levels = {"label": "labels", "wave": "predicted waves"}
    with _style():
        figure = Figure(figsize=(10, 6.6), layout="constrained")
        figure.suptitle(title, parse_math=False)
        for row, (level, name) in zip(figure.subplots(2, 3), levels.items(), strict=True):
            for axes, kind in zip(row, KINDS.values(), strict=True):
                axes.set_title(f"{kind}, {name}")
                axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability", ylabel="share that is so")
                axes.plot([0, 1], [0, 1], color="#999999", lw=0.8, ls="--")
                for i, table in enumerate(tables.values()):
                    own = table[(table["level"] == level) & (table["target"] == kind)]
                    own = own[(own["bin"] != "all") & (own["n"] >= FEWEST_CASES)]
                    share = own["observed"].to_numpy()
                    below = share - own["observed_lo"].to_numpy()
                    above = own["observed_hi"].to_numpy() - share
                    axes.errorbar(
                        own["probability"].to_numpy(),
                        share,
                        yerr=np.maximum(np.nan_to_num([below, above]), 0),
                        **_line(i),
                        lw=1.2,
                        elinewidth=0.7,
                    )
        handles = [Line2D([], [], label=name, **_line(i)) for i, name in enumerate(tables)]
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=min(max(len(handles), 1), 4),
            frameon=False,
        )
        return _svg(figure)


def _line(place: int) -> dict[str, Any]:
    """Give the line of a system; the colours come again with another stroke and marker."""
    turn, colour = divmod(place, len(LINE_COLOURS))
    stroke, marker = STROKES[turn % len(STROKES)]
    return {"color": LINE_COLOURS[colour], "ls": stroke, "marker": marker, "ms": 3}


def _count_label(n_seeds: int) -> str:
    return f" ({n_seeds} seeds)" if n_seeds > 1 else ""


def _f1_line(axes: Axes, history: pd.DataFrame, column: str, colour: str) -> None:
    axes.plot(history["epoch"], history[column], color=colour, lw=1.2)
    if history["tuning_f1_mean"].notna().any():
        best = history.loc[history["tuning_f1_mean"].idxmax()]
        axes.plot(best["epoch"], best[column], "o", color=colour, mfc="none")


def strip(
    signal: npt.NDArray[np.float32],
    *,
    fs_hz: float,
    truth: Spans,
    predicted: Mapping[str, Spans],
    span_ms: tuple[float, float],
    title: str,
) -> str:
    """Draw one lead on paper, with the true waves behind it and bars of all waves below.

    Parameters
    ----------
    signal : ndarray of shape (n_samples,), dtype float32
        In mV.
    fs_hz : float
        Sampling rate.
    truth : Spans
        A wave of which only one end is marked is drawn as a thin line there.
    predicted : mapping of str to Spans
        Name of a system to its waves; one row of bars each.
    span_ms : (float, float)
        First and last moment that is annotated; NaN if nothing is. The rest is grey.
    title : str

    Returns
    -------
    str
        SVG.
    """
    length_s = signal.size / fs_hz
    rows = {"truth": truth, **predicted}
    with _style():
        figure = Figure(figsize=(10, 2.7 + 0.22 * len(rows)), layout="constrained")
        upper, lower = figure.subplots(
            2, 1, sharex=True, height_ratios=[2.1, 0.22 * len(rows)], squeeze=True
        )
        upper.set_title(title, parse_math=False)
        _paper(upper, signal, length_s)
        _bars(upper, truth, upper.get_ylim(), alpha=0.22)
        upper.plot(np.arange(signal.size) / fs_hz, signal, color="black", lw=0.8)
        upper.set_ylabel("mV")
        for row, spans in enumerate(rows.values()):
            _bars(lower, spans, (row - 0.36, row + 0.36), alpha=1.0)
        lower.set_yticks(range(len(rows)), list(rows))
        lower.set_ylim(len(rows) - 0.5, -0.5)
        lower.set_xlabel("s")
        lower.tick_params(axis="y", length=0)
        for axes in (upper, lower):
            for first_s, last_s in _outside(span_ms, length_s):
                axes.axvspan(first_s, last_s, color=UNMARKED, alpha=0.75, lw=0, zorder=0.5)
        handles = [Patch(color=WAVE_COLOURS[kind], label=name) for kind, name in KINDS.items()]
        handles.append(Patch(color=UNMARKED, label="not annotated"))
        upper.legend(
            handles=handles,
            loc="lower right",
            bbox_to_anchor=(1, 1),
            ncols=4,
            frameon=False,
            borderpad=0,
            handlelength=1.2,
        )
        return _svg(figure)


def _paper(axes: Axes, signal: npt.NDArray[np.float32], length_s: float) -> None:
    """Set the limits to whole squares of ECG paper and rule them."""
    low = SQUARE_MV * np.floor(float(np.nanmin(signal)) / SQUARE_MV)
    high = SQUARE_MV * np.ceil(float(np.nanmax(signal)) / SQUARE_MV)
    high = max(high, low + 2 * SQUARE_MV)
    axes.set_xlim(0, length_s)
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], min_n_ticks=3))
    axes.vlines(
        np.arange(0, length_s + SQUARE_S / 2, SQUARE_S), low, high, PAPER_LINE, lw=0.6, zorder=0
    )
    n_squares = round((high - low) / SQUARE_MV)
    if n_squares <= MOST_SQUARES:
        rules = np.linspace(low, high, n_squares + 1)
        axes.hlines(rules, 0, length_s, PAPER_LINE, lw=0.6, zorder=0)


def _bars(axes: Axes, spans: Spans, limits: tuple[float, float], *, alpha: float) -> None:
    """Draw every wave as a bar between two heights, or a line if it has only one end."""
    low, high = min(limits), max(limits)
    for kind, colour in WAVE_COLOURS.items():
        on_s = spans.on_ms[spans.kind == kind] / 1000
        off_s = spans.off_ms[spans.kind == kind] / 1000
        whole = np.isfinite(on_s) & np.isfinite(off_s)
        axes.broken_barh(
            np.column_stack([on_s[whole], off_s[whole] - on_s[whole]]).tolist(),
            (low, high - low),
            facecolors=colour,
            alpha=alpha,
            lw=0,
        )
        ends = np.where(np.isfinite(on_s), on_s, off_s)[~whole]
        axes.vlines(ends[np.isfinite(ends)], low, high, colour, lw=0.8, alpha=min(1, 2 * alpha))


def _outside(span_ms: tuple[float, float], length_s: float) -> Sequence[tuple[float, float]]:
    """Return the parts of the strip, in s, that are not annotated."""
    first_s, last_s = span_ms[0] / 1000, span_ms[1] / 1000
    if np.isnan(first_s) or np.isnan(last_s):
        return [(0.0, length_s)]
    return [(0.0, first_s), (last_s, length_s)]
