import itertools
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
@given(
    st.lists(IDS, max_size=60),
    st.one_of(
        st.integers(1, 100),
        st.sampled_from([0.1, 10 / 3, 1000 / 360, 1000 / 128]),
        st.floats(0.05, 200),
    ),
)
def test_frames_survive_becoming_events(frames: list[int], frame_ms: float) -> None:
    """Also at lengths whose sums are inexact, such as the sample of a rate of 360 Hz."""
    events = codec.from_frames(frames, frame_ms)
    assert merged(events) == events
    assert codec.to_frames(events, frame_ms).tolist() == frames
    assert codec.to_frames(events, frame_ms, len(frames) * frame_ms).tolist() == frames


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


def flat(streams: list[list[Any]]) -> tuple[Any, Any, Any]:
    """Lay streams of events one after the other, as Arrow lists do."""
    events = [event for stream in streams for event in stream]
    symbols = np.array([symbol for symbol, _ in events], dtype=np.int64)
    ms = np.array([ms for _, ms in events], dtype=np.float64)
    return symbols, ms, np.cumsum([0, *map(len, streams)])


def parts(values: Any, offsets: Any) -> list[list[Any]]:
    """Cut a flat array at its offsets."""
    return [values[start:end].tolist() for start, end in itertools.pairwise(offsets)]


@unhurried
@given(st.lists(ANY_EVENTS, max_size=8))
def test_many_streams_are_each_stream_alone(streams: list[list[Any]]) -> None:
    words, offsets = codec.encode_many(*flat(streams))
    assert words.dtype == np.uint16
    assert parts(words, offsets) == [codec.encode(stream).tolist() for stream in streams]
    symbols, ms, ends = codec.decode_many(words, offsets)
    events = [
        list(zip(*both, strict=True))
        for both in zip(parts(symbols, ends), parts(ms, ends), strict=True)
    ]
    assert events == [codec.decode(codec.encode(stream)) for stream in streams]


@unhurried
@given(st.lists(ON_GRID.map(merged), max_size=8))
def test_whole_shards_come_back_exactly(streams: list[list[Any]]) -> None:
    symbols, ms, offsets = flat(streams)
    back = codec.decode_many(*codec.encode_many(symbols, ms, offsets))
    for got, sent in zip(back, (symbols, ms, offsets), strict=True):
        assert got.tolist() == sent.tolist()


def test_streams_do_not_merge_across_their_border() -> None:
    streams = [[(4, 80)], [(4, 40)], [], [(4, 40), (4, 8)], []]
    symbols, ms, offsets = codec.decode_many(*codec.encode_many(*flat(streams)))
    assert symbols.tolist() == [4, 4, 4]
    assert ms.tolist() == [80, 40, 48]
    assert offsets.tolist() == [0, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("n_streams", [0, 1, 3])
def test_empty_streams_are_kept(n_streams: int) -> None:
    words, offsets = codec.encode_many(*flat([[]] * n_streams))
    assert (words.tolist(), offsets.tolist()) == ([], [0] * (n_streams + 1))
    symbols, ms, offsets = codec.decode_many(words, offsets)
    assert (symbols.tolist(), ms.tolist(), offsets.tolist()) == ([], [], [0] * (n_streams + 1))


GOOD_WORD = st.integers(0, 12 * 256 + 255).filter(lambda word: word & 255)
BAD_WORD = st.one_of(
    st.integers(0, 255).map(lambda symbol: symbol << 8),  # no length
    st.integers(13 << 8, 2**16 - 1),  # no symbol
    st.integers(2**16, 2**40),
    st.integers(-(2**40), -1),
)


@unhurried
@given(st.data())
def test_one_bad_word_is_found_wherever_it_is(data: st.DataObject) -> None:
    streams = data.draw(st.lists(st.lists(GOOD_WORD, max_size=6), min_size=1, max_size=5))
    stream = data.draw(st.integers(0, len(streams) - 1))
    at = data.draw(st.integers(0, len(streams[stream])))
    streams[stream].insert(at, data.draw(BAD_WORD))
    words = [word for words in streams for word in words]
    offsets = np.cumsum([0, *map(len, streams)])
    with pytest.raises(ValueError, match=f"^stream {stream}, word {at} is {streams[stream][at]}: "):
        codec.decode_many(words, offsets)
    with pytest.raises(ValueError, match=f"^word {at} is "):
        codec.decode(streams[stream])


BAD_EVENT = st.one_of(
    st.tuples(st.one_of(st.integers(-(2**40), -1), st.integers(13, 2**40)), st.floats(4, 80)),
    st.tuples(IDS, st.one_of(st.floats(max_value=0), st.just(math.nan), st.floats(1e10))),
)


@unhurried
@given(st.data())
def test_one_bad_event_is_found_wherever_it_is(data: st.DataObject) -> None:
    good = st.tuples(IDS, st.floats(0.01, 5000))
    streams = data.draw(st.lists(st.lists(good, max_size=6), min_size=1, max_size=5))
    stream = data.draw(st.integers(0, len(streams) - 1))
    at = data.draw(st.integers(0, len(streams[stream])))
    streams[stream].insert(at, data.draw(BAD_EVENT))
    with pytest.raises(ValueError, match=rf"^stream {stream}, (entry|event) {at} has "):
        codec.encode_many(*flat(streams))
    with pytest.raises(ValueError, match=rf"^(entry|event) {at} has "):
        codec.encode(streams[stream])


@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        ([0, 1], "from 0 to 2, the number of entries, got 0 to 1"),
        ([1, 2], "got 1 to 2"),
        ([0, 2, 1, 2], "must ascend"),
        ([], "one more than there are streams"),
        ([0.0, 2.0], "1-d array of integers"),
        ([[0, 2]], "1-d array of integers"),
    ],
)
def test_offsets_that_do_not_fit_are_refused(offsets: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        codec.encode_many([4, 8], [20, 20], offsets)
    with pytest.raises(ValueError, match=message):
        codec.decode_many([0x0414, 0x0814], offsets)


def test_arrays_that_do_not_fit_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one shape, got \(2,\) and \(1,\)"):
        codec.encode_many([4, 8], [20], [0, 2])
    with pytest.raises(ValueError, match="1-d arrays, got 2-d"):
        codec.encode_many([[4, 8]], [[20, 20]], [0, 2])
    with pytest.raises(ValueError, match="must be integers"):
        codec.encode_many([4.0], [20], [0, 1])
    with pytest.raises(ValueError, match="array of integers"):
        codec.decode_many([4.5], [0, 1])


def test_a_length_that_cannot_be_packed_is_refused() -> None:
    assert codec.decode(codec.encode([(2, codec.MAX_MS)])) == [(2, codec.MAX_MS)]
    with pytest.raises(ValueError, match=r"event 0 has length 1e\+300 ms"):
        codec.encode([(2, 1e300)])


def test_json_takes_events_of_numpy_numbers() -> None:
    events: list[Any] = [(np.uint8(4), np.int64(80)), (np.int64(2), np.float64(6.5))]
    text = json.dumps(codec.render_json(events))
    assert json.loads(text) == [{"sym": "P", "ms": 80}, {"sym": "iso", "ms": 6.5}]
