"""Strips as timed text: one character per 20 ms under a ruler in seconds."""

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt

from openecg import vocab
from openecg.cells import fit_runs
from openecg.codec import Event
from openecg.waves import IGNORE, OTHER, QRS, P, T

MS_PER_CHAR = 20
TICK = 10  # characters between two ticks of the ruler
FEWEST_ALIKE = 3  # so many lines that say the same become one

# Capitals for what is one class, the letters of the vocabulary for the symbols of a stream.
CLASS_CHARS = {OTHER: "_", P: "P", QRS: "Q", T: "T", IGNORE: "."}
CLASS_NAMES = {"_": "no wave", "P": "P wave", "Q": "QRS complex", "T": "T wave"}
CLASS_NAMES |= {".": "not annotated"}
SYMBOL_NAMES = dict(zip(vocab.ID_TO_CHAR, vocab.ID_TO_NAME, strict=True)) | {"_": "no wave"}
RED, GREEN, YELLOW, MAGENTA, CYAN, DIM, LOUD = "31", "32", "33", "35", "36", "2", "1;7;35"
COLOURS = {
    **dict.fromkeys("Pp", GREEN),
    **dict.fromkeys("Qrwdj", RED),
    **{"q": YELLOW, "s": MAGENTA, "T": CYAN, "t": CYAN, "u": CYAN, "*": LOUD},
    **{"_": DIM, ".": DIM, "?": YELLOW},
}


def class_characters(classes: npt.NDArray[np.integer], *, frame_ms: float) -> str:
    """Write classes of frames as one character per 20 ms: the class in the middle of it.

    Parameters
    ----------
    classes : ndarray of shape (n_frames,), integer
        Class of each frame, 255 where not annotated.
    frame_ms : float
        Length of a frame in ms.

    Returns
    -------
    str
        As long as the frames, rounded to 20 ms.

    Raises
    ------
    ValueError
        If a class is unknown.
    """
    unknown = sorted({int(c) for c in np.unique(classes)} - CLASS_CHARS.keys())
    if unknown:
        raise ValueError(f"class {unknown[0]} is unknown; classes are {sorted(CLASS_CHARS)}")
    n_chars = round(classes.size * frame_ms / MS_PER_CHAR)
    at = ((np.arange(n_chars) + 0.5) * MS_PER_CHAR / frame_ms).astype(np.int64)
    return "".join([CLASS_CHARS[int(c)] for c in classes[np.minimum(at, classes.size - 1)]])


def wave_characters(
    kind: npt.NDArray[np.integer],
    on_ms: npt.NDArray[np.floating],
    off_ms: npt.NDArray[np.floating],
) -> str:
    """Write waves as one character per 20 ms, up to the end of the last one.

    Parameters
    ----------
    kind : ndarray of shape (n_waves,), integer
        ``P``, ``QRS`` or ``T``.
    on_ms, off_ms : ndarray of shape (n_waves,)
        First and last moment of each wave in ms; waves that lack one are left out.

    Returns
    -------
    str
        Each wave where the rounded times put it, with one character at least.
    """
    whole = ~(np.isnan(on_ms) | np.isnan(off_ms))
    first = np.floor(on_ms[whole] / MS_PER_CHAR + 0.5).astype(np.int64)
    last = np.maximum(np.floor(off_ms[whole] / MS_PER_CHAR + 0.5).astype(np.int64), first + 1)
    chars = [CLASS_CHARS[OTHER]] * int(last.max(initial=0))
    for symbol, start, end in zip(kind[whole], first, last, strict=True):
        chars[start:end] = CLASS_CHARS[int(symbol)] * int(end - start)
    return "".join(chars)


def event_characters(events: Sequence[Event]) -> str:
    """Write a token stream as one character per 20 ms.

    Parameters
    ----------
    events : sequence of (symbol id, length in ms)
        The stream from its start.

    Returns
    -------
    str
        As long as the stream, rounded to 20 ms, so that a ruler holds for it from start to end.

    Notes
    -----
    Each bound is rounded by itself. An event that would vanish takes the character it begins in if
    the event there has another one; a pacer spike takes it always.
    """
    symbols = np.array([symbol for symbol, _ in events], dtype=np.int64)
    bounds_ms = np.cumsum([0.0, *(ms for _, ms in events)])
    bounds = np.rint(bounds_ms / MS_PER_CHAR).astype(np.int64)
    begins = (bounds_ms[:-1] / MS_PER_CHAR).astype(np.int64)
    owner = fit_runs(np.diff(bounds), begins, symbols == vocab.ID_PACER_SPIKE)
    return "".join([vocab.ID_TO_CHAR[symbol] for symbol in symbols[owner]])


def strip_lines(
    rows: Mapping[str, str], *, width: int, names: Mapping[str, str], colour: bool
) -> list[str]:
    """Lay out strips that share their time, several lines as the width needs.

    Parameters
    ----------
    rows : mapping of str to str
        For each name, such as a lead, its characters from time 0; short ones end early.
    width : int
        Most characters of a line.
    names : mapping of str to str
        What each character stands for, `CLASS_NAMES` or `SYMBOL_NAMES`; for the legend.
    colour : bool
        Whether to add ANSI colours. The letters say all that the colours say.

    Returns
    -------
    list of str
        The legend, then blocks of a ruler in s and a line per row. Three blocks or more that hold
        one same character per row are said in one line.
    """
    used = sorted(set("".join(rows.values())), key=[*names].index)
    gutter = max(map(len, rows), default=0) + 1
    n_chars = max(map(len, rows.values()), default=0)
    step = max(TICK, (width - gutter) // TICK * TICK)
    lines = [*_legend(used, names, width=width, colour=colour), ""]
    blocks = [
        (start, {name: chars[start : start + step] for name, chars in rows.items()})
        for start in range(0, n_chars, step)
    ]
    for alike, found in groupby(blocks, key=lambda block: _only(block[1])):
        same = list(found)
        if alike and len(same) >= FEWEST_ALIKE:
            end = min(same[-1][0] + step, n_chars)
            what = " and ".join(names[char] for char in sorted(alike))
            lines += [f"{_seconds(same[0][0])} s to {_seconds(end)} s: {what}", ""]
            continue
        for start, block in same:
            lines.append(" " * gutter + _ruler(start, min(step, n_chars - start)))
            lines += [name.ljust(gutter) + _paint(chars, colour) for name, chars in block.items()]
            lines.append("")
    return lines[:-1]


def _legend(
    used: Sequence[str], names: Mapping[str, str], *, width: int, colour: bool
) -> list[str]:
    """Say what the characters stand for; no line is broken inside an entry."""
    entries = [f"{MS_PER_CHAR} ms per character:", *(f"{char} {names[char]}" for char in used)]
    lines, length = [""], 0
    for i, entry in enumerate(entries):
        ended = entry + ("," if 0 < i < len(entries) - 1 else "")
        if length and length + 1 + len(ended) > width:
            lines.append("")
            length = 0
        shown = _paint(ended[0], colour) + ended[1:] if i else ended
        lines[-1] += " " * (length > 0) + shown
        length += (length > 0) + len(ended)
    return lines


def _only(block: Mapping[str, str]) -> frozenset[str]:
    """Return the characters of a block whose rows hold one each, nothing for other blocks."""
    kinds = [set(chars) for chars in block.values()]
    return frozenset().union(*kinds) if all(len(kind) <= 1 for kind in kinds) else frozenset()


def _ruler(start: int, n_chars: int) -> str:
    """Ticks with their time in s."""
    ticks = [f"|{_seconds(at)}" for at in range(start, start + n_chars, TICK)]
    return "".join(tick.ljust(TICK) for tick in [f"{ticks[0]} s", *ticks[1:]]).rstrip()


def _seconds(at: int) -> str:
    return f"{at * MS_PER_CHAR / 1000:.1f}"


def _paint(chars: str, colour: bool) -> str:
    """Colour runs of equal characters."""
    if not colour:
        return chars
    runs = ((char, "".join(run)) for char, run in groupby(chars))
    return "".join(
        f"\033[{COLOURS[char]}m{run}\033[0m" if char in COLOURS else run for char, run in runs
    )
