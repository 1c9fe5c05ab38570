"""Events, packed words, text and frames: four forms of one token stream.

An event is a pair (symbol id, length in ms). A word is an unsigned 16-bit number with the symbol in
its high byte and the length, in units of 4 ms, in its low byte.
"""

from collections.abc import Sequence
from typing import Any, Final, TypedDict

import numpy as np
import numpy.typing as npt

from openecg import vocab

Event = tuple[int, float]
"""Symbol id and length in ms."""

MS_PER_UNIT: Final = 4
MAX_UNITS: Final = 255
"""Longest length one word can hold, 1020 ms."""

MAX_MS: Final = 2.0**31
"""Longest length of one event, 24 days: what is longer is an error of units or of arithmetic."""

ON_GRID_FRAMES: Final = 1e-9
"""An event bound this close to a frame bound is on it: sums of such as 10 / 3 ms are inexact."""

Offsets = npt.NDArray[np.int64]
"""Where each of many streams starts in arrays that hold them all, and the end of the last one."""


class JsonEvent(TypedDict):
    """An event by the name of its symbol."""

    sym: str
    ms: float


def encode(events: Sequence[Event]) -> npt.NDArray[np.uint16]:
    """Pack events into words.

    Parameters
    ----------
    events : sequence of (symbol id, length in ms)
        Lengths are rounded to the nearest 4 ms, halves to the even multiple, and never below 4 ms.

    Returns
    -------
    ndarray of shape (n_words,), dtype uint16
        One word per event, or as many as a length beyond 1020 ms needs: all but the last are full.

    Raises
    ------
    ValueError
        If a symbol id is not in the vocabulary, or a length is not positive or beyond `MAX_MS`.

    Notes
    -----
    `decode` gives the events back exactly if every length is a multiple of 4 ms and neighbours
    differ in their symbol. Equal neighbours come back as one event of their summed length.
    """
    symbols, ms = _columns(events)
    words, _ = _pack(symbols, ms)
    return words


def encode_many(
    symbols: npt.ArrayLike, ms: npt.ArrayLike, offsets: npt.ArrayLike
) -> tuple[npt.NDArray[np.uint16], Offsets]:
    """Pack the events of many streams into words, all in one pass.

    The layout is that of Arrow lists: stream ``i`` is ``symbols[offsets[i]:offsets[i + 1]]``.

    Parameters
    ----------
    symbols : array_like of shape (n_events,), integer
        Symbol ids of all streams, one after the other.
    ms : array_like of shape (n_events,)
        Their lengths in ms; rounded as by `encode`.
    offsets : array_like of shape (n_streams + 1,), integer
        Where each stream starts, and ``n_events`` as the last one; a stream may be empty.

    Returns
    -------
    words : ndarray of shape (n_words,), dtype uint16
        What `encode` gives for each stream, one after the other.
    offsets : ndarray of shape (n_streams + 1,), dtype int64
        Where the words of each stream start, and ``n_words``.

    Raises
    ------
    ValueError
        As `encode`, naming the stream; or if the three arrays do not fit together.
    """
    ids, lengths, starts = np.asarray(symbols), np.asarray(ms), np.asarray(offsets)
    if ids.shape != lengths.shape:
        raise ValueError(
            f"symbols and ms must be of one shape, got {ids.shape} and {lengths.shape}"
        )
    starts = _checked_offsets(starts, ids)
    words, ends = _pack(*_checked_events(ids, lengths, starts))
    return words, ends[starts]


def decode(words: npt.ArrayLike) -> list[Event]:
    """Unpack words into events, merging neighbours of one symbol.

    Parameters
    ----------
    words : array_like of shape (n_words,), integer
        Words from `encode`.

    Returns
    -------
    list of (symbol id, length in ms)
        Lengths are whole multiples of 4 ms; neighbours differ in their symbol.

    Raises
    ------
    ValueError
        If a word is no whole number of 16 bits, has no length, or names no symbol.
    """
    packed = np.asarray(words)
    symbols, ms, _ = _unpack(packed, np.array([0, packed.size]), named=False)
    return list(zip(symbols.tolist(), ms.tolist(), strict=True))


def decode_many(
    words: npt.ArrayLike, offsets: npt.ArrayLike
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Offsets]:
    """Unpack the words of many streams into events, all in one pass.

    Neighbours of one symbol are merged within a stream, never across two.

    Parameters
    ----------
    words : array_like of shape (n_words,), integer
        Words of all streams, one after the other.
    offsets : array_like of shape (n_streams + 1,), integer
        Where each stream starts, and ``n_words`` as the last one; a stream may be empty.

    Returns
    -------
    symbols, ms : ndarray of shape (n_events,), dtype int64
        What `decode` gives for each stream, one after the other; lengths in ms.
    offsets : ndarray of shape (n_streams + 1,), dtype int64
        Where the events of each stream start, and ``n_events``.

    Raises
    ------
    ValueError
        As `decode`, naming the stream; or if ``offsets`` do not fit ``words``.
    """
    packed = np.asarray(words)
    return _unpack(packed, _checked_offsets(np.asarray(offsets), packed), named=True)


def render_compact(events: Sequence[Event]) -> str:
    """Print events as one character each, whatever their length.

    Takes events, not words: ``render_compact(decode(words))``.

    Raises
    ------
    ValueError
        As `encode`.
    """
    symbols, _ = _columns(events)
    return "".join([vocab.ID_TO_CHAR[symbol] for symbol in symbols])


def render_timed(events: Sequence[Event], ms_per_char: float = 20) -> str:
    """Print events with as many characters as they last.

    Takes events, not words: ``render_timed(decode(words))``.

    Parameters
    ----------
    events : sequence of (symbol id, length in ms)
        What to print.
    ms_per_char : float
        Time one character stands for, in ms. Counts are rounded, halves to even, and are never
        below one, so short events make the text longer than the strip.

    Returns
    -------
    str
        One line.

    Raises
    ------
    ValueError
        As `encode`, or if ``ms_per_char`` is not positive.
    """
    if not ms_per_char > 0:
        raise ValueError(f"ms_per_char must be positive, got {ms_per_char}")
    symbols, ms = _columns(events)
    counts = np.maximum(1, np.rint(ms / ms_per_char)).astype(np.int64)
    return "".join([vocab.ID_TO_CHAR[s] * n for s, n in zip(symbols, counts, strict=True)])


def render_json(events: Sequence[Event]) -> list[JsonEvent]:
    """Turn events into objects for ``json.dumps``: ``[{"sym": "iso", "ms": 200}, ...]``.

    Takes events, not words: ``render_json(decode(words))``.

    Raises
    ------
    ValueError
        As `encode`.
    """
    _columns(events)
    return [
        {"sym": vocab.ID_TO_NAME[symbol], "ms": ms.item() if isinstance(ms, np.generic) else ms}
        for symbol, ms in events
    ]


def to_frames(
    events: Sequence[Event], frame_ms: float = 20, total_ms: float | None = None
) -> npt.NDArray[np.uint8]:
    """Sample events on a grid of frames.

    Parameters
    ----------
    events : sequence of (symbol id, length in ms)
        The first one starts at time 0.
    frame_ms : float
        Length of a frame in ms.
    total_ms : float or None
        Length of the grid in ms, rounded to whole frames. What lies behind it is dropped, what is
        missing is iso. ``None`` takes the summed length of the events.

    Returns
    -------
    ndarray of shape (round(total_ms / frame_ms),), dtype uint8
        In each frame the symbol id that fills most of it, the earlier one where two fill it
        equally; a pacer spike wins however short it is.

    Raises
    ------
    ValueError
        As `encode`, if ``frame_ms`` is not positive, or if ``total_ms`` is negative.
    """
    if not frame_ms > 0:
        raise ValueError(f"frame_ms must be positive, got {frame_ms}")
    if total_ms is not None and not 0 <= total_ms < np.inf:
        raise ValueError(f"total_ms must not be negative or endless, got {total_ms}")
    symbols, ms = _columns(events)
    bounds = np.concatenate([[0.0], np.cumsum(ms)])
    n_frames = round((float(bounds[-1]) if total_ms is None else total_ms) / frame_ms)
    frames = np.full(n_frames, vocab.ID_ISO, dtype=np.uint8)
    grid = frame_ms * np.arange(n_frames + 1)
    nearest = np.rint(bounds / frame_ms)
    on_grid = np.abs(bounds / frame_ms - nearest) <= ON_GRID_FRAMES
    bounds = np.where(on_grid, nearest * frame_ms, bounds)
    end = min(bounds[-1], grid[-1])

    # Cut time at every event bound and every frame bound: each piece has one event and one frame.
    cuts = np.unique(np.concatenate([bounds, grid]))
    cuts = cuts[cuts <= end]
    starts, lengths = cuts[:-1], np.diff(cuts)
    frame = np.searchsorted(grid, starts, side="right") - 1
    symbol = symbols[np.searchsorted(bounds, starts, side="right") - 1]
    key, met, group = np.unique(
        frame * vocab.N_SYMBOLS + symbol, return_index=True, return_inverse=True
    )
    overlap = np.bincount(group, weights=lengths, minlength=key.size).astype(np.float64)
    frame, symbol = np.divmod(key, vocab.N_SYMBOLS)
    overlap[symbol == vocab.ID_PACER_SPIKE] = np.inf
    order = np.lexsort((-met, overlap, frame))  # the last one of each frame wins
    frames[frame[order]] = symbol[order]
    return frames


def from_frames(frames: npt.ArrayLike, frame_ms: float = 20) -> list[Event]:
    """Turn frames into events by joining equal neighbours.

    Parameters
    ----------
    frames : array_like of shape (n_frames,), integer
        Symbol id of each frame.
    frame_ms : float
        Length of a frame in ms.

    Returns
    -------
    list of (symbol id, length in ms)
        Lengths are multiples of ``frame_ms``; no frames give no events.

    Raises
    ------
    ValueError
        If a frame holds no symbol id, or ``frame_ms`` is not positive.
    """
    if not frame_ms > 0:
        raise ValueError(f"frame_ms must be positive, got {frame_ms}")
    ids = np.asarray(frames)
    if ids.size == 0:
        return []
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise ValueError(f"frames must be a 1-d array of integers, got {ids.ndim}-d {ids.dtype}")
    _check_symbols(ids)
    ids = ids.astype(np.int64)
    first = np.flatnonzero(np.diff(ids, prepend=-1))
    counts = np.diff(first, append=ids.size)
    return [(s, n * frame_ms) for s, n in zip(ids[first].tolist(), counts.tolist(), strict=True)]


def _columns(
    events: Sequence[Event],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Split events into checked symbol ids and lengths in ms, both of shape (n_events,)."""
    if len(events) == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    symbols, ms = zip(*events, strict=True)
    return _checked_events(np.array(symbols), np.array(ms), None)


def _pack(
    symbols: npt.NDArray[np.int64], ms: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.uint16], Offsets]:
    """Pack checked events; also give where the words of each event start, and their number."""
    units = np.maximum(1, np.rint(ms / MS_PER_UNIT)).astype(np.int64)
    n_words = -(-units // MAX_UNITS)
    starts = np.concatenate([[0], np.cumsum(n_words)])
    lengths = np.full(starts[-1], MAX_UNITS, dtype=np.int64)
    lengths[starts[1:] - 1] = units - MAX_UNITS * (n_words - 1)
    return (np.repeat(symbols, n_words) << 8 | lengths).astype(np.uint16), starts


def _unpack(
    words: npt.NDArray[Any], offsets: Offsets, *, named: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Offsets]:
    """Do the work of `decode_many` for checked offsets; ``named``: whether errors name streams."""
    if words.size and (words.ndim != 1 or words.dtype.kind not in "iu"):
        raise ValueError(f"words must be a 1-d array of integers, got {words.ndim}-d {words.dtype}")
    packed = words.ravel().astype(np.int64)
    symbols, units = packed >> 8, packed & 0xFF
    bad = (symbols < 0) | (symbols >= vocab.N_SYMBOLS) | (units == 0)
    if bad.any():
        at = int(bad.argmax())
        raise ValueError(
            f"{_place('word', at, offsets if named else None)} is {words[at]}: "
            f"symbol {symbols[at]}, length {units[at]}; symbols go from "
            f"0 to {vocab.N_SYMBOLS - 1}, lengths from 1 to {MAX_UNITS}"
        )
    starts_event = np.diff(symbols, prepend=-1) != 0
    starts_event[offsets[:-1][np.diff(offsets) > 0]] = True
    first = np.flatnonzero(starts_event)
    ms = MS_PER_UNIT * np.add.reduceat(units, first)
    return symbols[first], ms, np.searchsorted(first, offsets)


def _checked_events(
    ids: npt.NDArray[Any], ms: npt.NDArray[Any], offsets: Offsets | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Refuse what is no event; ``offsets`` of the streams, if errors are to name them."""
    if ids.size == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    if ids.dtype.kind not in "iu":
        raise ValueError(f"symbol ids must be integers, got {ids.dtype}")
    _check_symbols(ids, offsets)
    lengths = ms.astype(np.float64)
    bad = ~((lengths > 0) & (lengths <= MAX_MS))
    if bad.any():
        at = int(bad.argmax())
        raise ValueError(
            f"{_place('event', at, offsets)} has length {lengths[at]} ms; "
            f"lengths must be positive and at most {MAX_MS:.0f}"
        )
    return ids.astype(np.int64), lengths


def _check_symbols(ids: npt.NDArray[Any], offsets: Offsets | None = None) -> None:
    bad = (ids < 0) | (ids >= vocab.N_SYMBOLS)
    if bad.any():
        at = int(bad.argmax())
        raise ValueError(
            f"{_place('entry', at, offsets)} has symbol id {ids[at]}; the vocabulary "
            f"{vocab.VOCAB_VERSION} goes from 0 to {vocab.N_SYMBOLS - 1}"
        )


def _checked_offsets(offsets: npt.NDArray[Any], values: npt.NDArray[Any]) -> Offsets:
    """Refuse offsets that do not cut ``values`` into streams."""
    if offsets.ndim != 1 or offsets.dtype.kind not in "iu" or offsets.size == 0:
        raise ValueError(
            "offsets must be a 1-d array of integers, one more than there are streams, "
            f"got {offsets.ndim}-d {offsets.dtype} of {offsets.size}"
        )
    if values.ndim != 1:
        raise ValueError(f"streams must lie one after the other in 1-d arrays, got {values.ndim}-d")
    starts = offsets.astype(np.int64)
    if starts[0] != 0 or starts[-1] != values.size or np.any(np.diff(starts) < 0):
        raise ValueError(
            f"offsets must ascend from 0 to {values.size}, the number of entries, "
            f"got {starts[0]} to {starts[-1]}"
        )
    return starts


def _place(what: str, at: int, offsets: Offsets | None) -> str:
    """Name an entry by its number, or by its stream and its number there."""
    if offsets is None:
        return f"{what} {at}"
    stream = int(np.searchsorted(offsets, at, side="right")) - 1
    return f"stream {stream}, {what} {at - offsets[stream]}"
