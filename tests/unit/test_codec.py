import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openecg import codec, vocab

BEAT = [
    (vocab.ID_ISO, 200),
    (vocab.ID_P, 80),
    (vocab.ID_ISO, 80),
    (vocab.ID_Q, 20),
    (vocab.ID_R, 40),
    (vocab.ID_S, 40),
    (vocab.ID_ISO, 120),
    (vocab.ID_T, 200),
    (vocab.ID_ISO, 220),
]
unhurried = settings(deadline=None)  # time per example says more of the machine
IDS = st.integers(0, 12)
ANY_EVENTS = st.lists(st.tuples(IDS, st.floats(0.01, 5000)), max_size=40)
ON_GRID = st.lists(st.tuples(IDS, st.integers(1, 1500).map(lambda n: 4 * n)), max_size=40)
BAD_EVENTS = [
    ([(4, 80), (13, 80)], "entry 1 has symbol id 13"),
    ([(-1, 80)], "symbol id -1"),
    ([(4.0, 80)], "must be integers"),
    ([(4, 0)], "event 0 has length 0"),
    ([(4, 80), (4, -4)], "event 1 has length -4"),
    ([(4, math.nan)], "length nan"),
    ([(4, math.inf)], "length inf"),
]


def merged(events: list[Any]) -> list[Any]:
    """Join neighbours of one symbol, slowly."""
    joined: list[Any] = []
    for symbol, ms in events:
        if joined and joined[-1][0] == symbol:
            joined[-1] = (symbol, joined[-1][1] + ms)
        else:
            joined.append((symbol, ms))
    return joined


def test_quick_start() -> None:
    words = codec.encode(BEAT)
    assert words.dtype == np.uint16
    assert words[0] == 2 * 256 + 50
    assert codec.decode(words) == BEAT
    assert codec.render_compact(BEAT) == "_p_qrs_t_"
    assert codec.render_timed(BEAT) == "__________pppp____qrrss______tttttttttt___________"
    assert json.loads(json.dumps(codec.render_json(BEAT)))[1] == {"sym": "P", "ms": 80}


def test_long_events_fill_words_and_come_back_as_one() -> None:
    words = codec.encode([(2, 2500), (4, 1020), (8, 1024)])
    assert (words & 255).tolist() == [255, 255, 115, 255, 255, 1]
    assert codec.decode(words) == [(2, 2500), (4, 1020), (8, 1024)]


@pytest.mark.parametrize(("ms", "kept"), [(0.5, 4), (5.9, 4), (6, 8), (10, 8), (14, 16)])
def test_lengths_round_half_to_even_and_never_vanish(ms: float, kept: int) -> None:
    assert codec.decode(codec.encode([(6, ms)])) == [(6, kept)]


@unhurried
@given(ON_GRID)
def test_round_trip_keeps_all_but_equal_neighbours(events: list[Any]) -> None:
    assert codec.decode(codec.encode(events)) == merged(events)


@unhurried
@given(ANY_EVENTS)
def test_off_the_grid_a_length_moves_by_half_a_unit_or_up_to_one_whole(events: list[Any]) -> None:
    for symbol, ms in events:
        ((kept_symbol, kept),) = codec.decode(codec.encode([(symbol, ms)]))
        assert kept_symbol == symbol
        assert kept == 4 if ms < 4 else abs(kept - ms) <= 2


@unhurried
@given(st.lists(st.integers(0, 12 * 256 + 255).filter(lambda word: word & 255), max_size=40))
def test_words_survive_decoding_and_encoding(words: list[int]) -> None:
    events = codec.decode(words)
    assert codec.decode(codec.encode(events)) == events
    assert sum(ms for _, ms in events) == 4 * sum(word & 255 for word in words)


@pytest.mark.parametrize(("events", "message"), BAD_EVENTS)
@pytest.mark.parametrize(
    "use",
    [
        codec.encode,
        codec.render_compact,
        codec.render_timed,
        codec.render_json,
        codec.to_frames,
    ],
)
def test_bad_events_are_refused_everywhere(use: Any, events: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        use(events)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([0x0414, 0x0400], "word 1 is 1024: symbol 4, length 0"),
        ([0x0D01], "symbol 13, length 1"),
        ([0xFFFF], "symbol 255"),
        ([-1], "symbol -1"),
        ([0x10414], "symbol 260"),
        ([4.5], "array of integers"),
        ([[0x0414]], "2-d"),
    ],
)
def test_bad_words_are_refused(words: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        codec.decode(words)


def test_nothing_stays_nothing() -> None:
    assert codec.encode([]).tolist() == []
    assert codec.decode(np.zeros(0, np.uint16)) == []
    assert codec.to_frames([]).tolist() == []
    assert codec.from_frames([]) == []
    assert codec.render_compact([]) == codec.render_timed([]) == ""
    assert codec.to_frames([], 20, 60).tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("events", "frames"),
    [
        ([(4, 12), (8, 8)], [4]),  # more of P
        ([(4, 8), (2, 4), (4, 8)], [4]),  # P in two parts
        ([(8, 10), (4, 10)], [8]),  # the first of two equal ones
        ([(2, 4), (8, 8), (4, 8)], [8]),  # also behind others
        ([(4, 19), (3, 1)], [3]),  # a spike wins
        ([(4, 20), (3, 4), (8, 16)], [4, 3]),  # but only where it is
        ([(4, 30), (8, 30)], [4, 4, 8]),
        ([(4, 9)], []),  # less than half a frame
    ],
)
def test_frames_take_what_fills_them(events: Any, frames: list[int]) -> None:
    assert codec.to_frames(events).tolist() == frames


def test_grid_of_given_length_cuts_and_fills_with_iso() -> None:
    assert codec.to_frames([(4, 100)], 20, 60).tolist() == [4, 4, 4]
    assert codec.to_frames([(4, 30)], 20, 100).tolist() == [4, 4, 2, 2, 2]


def slow_frames(events: list[Any], frame_ms: int) -> list[int]:
    """Fill each frame ms by ms."""
    line = [symbol for symbol, ms in events for _ in range(ms)]
    frames = []
    for f in range(round(len(line) / frame_ms)):
        part = line[f * frame_ms : (f + 1) * frame_ms]
        frames.append(3 if 3 in part else max(dict.fromkeys(part), key=part.count))
    return frames


@unhurried
@given(
    st.lists(st.tuples(IDS, st.integers(1, 90)), max_size=20), st.sampled_from([1, 7, 10, 20, 33])
)
def test_frames_agree_with_counting_each_ms(events: list[Any], frame_ms: int) -> None:
    assert codec.to_frames(events, frame_ms).tolist() == slow_frames(events, frame_ms)


@unhurried
@given(st.lists(IDS, max_size=60))
def test_frames_survive_becoming_events(frames: list[int]) -> None:
    events = codec.from_frames(frames)
    assert codec.to_frames(events).tolist() == frames
    assert merged(events) == events


@pytest.mark.parametrize("frames", [[4, 13], [-1], [0.5], [[4]]])
def test_bad_frames_are_refused(frames: Any) -> None:
    with pytest.raises(ValueError, match=r"symbol id|array of integers"):
        codec.from_frames(frames)


def test_bad_grids_are_refused() -> None:
    with pytest.raises(ValueError, match="frame_ms"):
        codec.to_frames(BEAT, 0)
    with pytest.raises(ValueError, match="total_ms"):
        codec.to_frames(BEAT, 20, -20)
    with pytest.raises(ValueError, match="frame_ms"):
        codec.from_frames([2], -1)
    with pytest.raises(ValueError, match="ms_per_char"):
        codec.render_timed(BEAT, 0)
