"""Figures: equal input equal text, everything that was given is drawn, nothing refers outside."""

import re
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pandas as pd
import pytest

from openecg.plots import (
    FEWEST_CASES,
    UNMARKED,
    WAVE_COLOURS,
    Spans,
    reliability,
    strip,
    training_curves,
)

FS_HZ = 250.0
SIGNAL = np.sin(np.arange(2500) / 40).astype(np.float32)
TRUTH = Spans(
    np.array([1, 2, 3], np.uint8), np.array([100.0, 300, 500]), np.array([180.0, 400, 700])
)
NOTHING = Spans(np.empty(0, np.uint8), np.empty(0), np.empty(0))


def _strip(
    truth: Spans = TRUTH,
    *,
    signal: np.ndarray = SIGNAL,
    span_ms: tuple[float, float] = (50.0, 9000.0),
    title: str = "ludb 1, lead II",
) -> str:
    predicted = {"F, seed 0": TRUTH, "nothing found": NOTHING}
    return strip(
        signal, fs_hz=FS_HZ, truth=truth, predicted=predicted, span_ms=span_ms, title=title
    )


def _history(*, tuning: bool = True) -> pd.DataFrame:
    epochs = np.arange(1, 6)
    names = ["tuning_loss", *(f"tuning_f1_{wave}" for wave in ("P", "QRS", "T", "mean"))]
    values = epochs / 10 if tuning else np.nan
    return pd.DataFrame({"epoch": epochs, "train_loss": 1 / epochs} | dict.fromkeys(names, values))


def _bars(svg: str, colour: str) -> int:
    """Count filled shapes of a colour, the legend's one left out."""
    return len(re.findall(rf"fill: {colour}", svg, flags=re.IGNORECASE)) - 1


@pytest.mark.parametrize("draw", [_strip, lambda: training_curves({"F/seed0": _history()})])
def test_equal_input_gives_equal_text_whatever_the_users_settings(draw) -> None:  # type: ignore[no-untyped-def]
    first = draw()
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red", "svg.hashsalt": "x"}):
        assert draw() == first
    assert matplotlib.rcParams["svg.hashsalt"] != "openecg"


@pytest.mark.parametrize("draw", [_strip, lambda: training_curves({"F/seed0": _history()})])
def test_a_figure_is_svg_that_refers_to_nothing_outside(draw) -> None:  # type: ignore[no-untyped-def]
    text = draw()
    assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
    assert not re.search(r"(href|src)=\"(?!#)|@import|<script|<!DOCTYPE|<metadata", text)


def test_every_wave_is_drawn_behind_the_signal_and_once_per_row() -> None:
    text = _strip()
    for colour in WAVE_COLOURS.values():
        assert _bars(text, colour) == 3  # behind the signal, truth, F


def test_a_wave_with_one_end_is_a_line_and_no_bar() -> None:
    half = Spans(TRUTH.kind, TRUTH.on_ms, np.array([180.0, np.nan, 700]))
    text = _strip(half)
    assert _bars(text, WAVE_COLOURS[2]) == 1  # F
    assert len(re.findall(rf"stroke: {WAVE_COLOURS[2]}", text, flags=re.IGNORECASE)) >= 2


def test_what_is_not_annotated_is_grey() -> None:
    nan = float("nan")
    assert _bars(_strip(), UNMARKED) == 4  # before and after, in both panels
    assert _bars(_strip(NOTHING, span_ms=(nan, nan)), UNMARKED) == 2  # all of both


@pytest.mark.parametrize("level", [0.0, 1.2, -300.0])
def test_a_flat_lead_is_drawn(level: float) -> None:
    assert _strip(signal=np.full(2500, level, np.float32)).startswith("<svg")


def test_an_artefact_does_not_fill_the_figure_with_lines() -> None:
    signal = SIGNAL.copy()
    signal[100] = 5000
    assert len(_strip(signal=signal)) < 2 * len(_strip())


def test_names_from_the_data_cannot_break_the_figure() -> None:
    ElementTree.fromstring(_strip(title="<script>&\"$\\bad{$'"))


def test_a_training_without_tuning_records_says_so() -> None:
    text = training_curves({"F/seed0": _history(tuning=False)})
    assert text.count("<!-- no tuning records -->") == 3


def test_runs_of_one_setting_share_a_colour_and_a_line_of_the_legend() -> None:
    histories = {f"{setting}/seed{seed}": _history() for setting in "FC" for seed in (0, 1)}
    text = training_curves(histories)
    assert text.count("<!-- setting F (2 seeds) -->") == 1
    assert text.count("<!-- setting C (2 seeds) -->") == 1


def _calibration(*, n_bins: int = 4) -> pd.DataFrame:
    bins = [*range(n_bins), "all"]
    rows = [
        {"level": level, "target": target, "bin": name, "n": 0 if name == 0 else 9}
        | {"probability": 0.3, "observed": 0.25, "observed_lo": 0.2, "observed_hi": 0.4}
        for level in ("label", "wave")
        for target in ("P", "QRS", "T")
        for name in bins
    ]
    return pd.DataFrame(rows)


def _points(svg: str) -> int:
    """Count the marks in the panels; the legend has one of each system as well."""
    return svg.count("<use ")


def test_reliability_has_a_point_for_each_bin_with_cases() -> None:
    cases = [FEWEST_CASES - 1, *[FEWEST_CASES] * 6]  # of six bins and all of them
    rare = _calibration(n_bins=6).assign(n=cases * 6)
    few, many, but_one = (
        reliability({"F <b>": rows}, title="ludb, <test>")
        for rows in (_calibration(n_bins=3), _calibration(n_bins=6), rare)
    )
    assert _points(many) - _points(few) == 6 * 3
    assert _points(but_one) == _points(many)
    for text in ("P, labels", "T, predicted waves", "F &lt;b&gt;", "ludb, &lt;test&gt;"):
        assert f"<!-- {text} -->" in few
    nothing = _calibration().assign(n=0, observed=np.nan, observed_lo=np.nan, observed_hi=np.nan)
    assert ElementTree.fromstring(reliability({"F": nothing}, title="")).tag.endswith("svg")


def test_systems_beyond_the_palette_are_told_apart_by_their_stroke() -> None:
    dashed = [
        reliability({str(i): _calibration() for i in range(n)}, title="").count("stroke-dasharray")
        for n in (7, 8)
    ]
    assert dashed[1] == dashed[0] + 7  # six panels and the legend
