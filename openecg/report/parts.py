"""Pieces of HTML and text that the sections share."""

import base64
from collections.abc import Iterable, Sequence
from html import escape

import pandas as pd

from openecg.scored_split import MEAN_SEED

NONE = "-"  # where nothing could be scored


def label(system: str, seed: str) -> str:
    """Name a system and its seed, if it has one."""
    if seed == MEAN_SEED:
        return f"{system}, mean of seeds"
    return f"{system}, seed {seed}" if seed else system


def number(value: object) -> str:
    """Write a rate with three decimals; none if it could not be scored."""
    return NONE if value is None or pd.isna(value) else f"{value:.3f}"  # type: ignore[call-overload]


def ms(value: float, *, sign: str = "") -> str:
    """Write a time in ms with one decimal; a rounded zero has no minus."""
    return NONE if pd.isna(value) else f"{round(value, 1) + 0.0:{sign}.1f}"


def count(values: Iterable[int], what: str) -> str:
    """Write how many of something there are, or the least and the most."""
    least, most = min(values), max(values)
    number = f"{least}" if least == most else f"{least} to {most}"
    return f"{number} {what}{'s' if most != 1 else ''}"


def figure(svg: str, caption: str, *, small: bool = False) -> str:
    """Embed an SVG as an image of its own, so that its names and styles stay inside."""
    data = base64.b64encode(svg.encode()).decode()
    return (
        f'<figure{" class=small" if small else ""}><div class="scroll">'
        f'<img alt="{escape(caption)}" src="data:image/svg+xml;base64,{data}"></div>'
        f"<figcaption>{escape(caption)}</figcaption></figure>\n"
    )


def html_table(caption: str, head: str, body: str, notes: Sequence[str] = ()) -> str:
    """Put rows, given as HTML, under a caption, and numbered sources below them."""
    sources = "".join(f"<li>{escape(note)}</li>" for note in notes)
    below = f'<div class="sources">Sources of the known numbers<ol>{sources}</ol></div>\n'
    return (
        f'<p class="about">{escape(caption)}</p>\n<div class="scroll"><table>\n'
        f"<thead>{head}</thead>\n<tbody>{body}</tbody></table></div>\n{below if notes else ''}"
    )
