from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from openecg.stage2.targets import (
    OTHER_OR_P,
    Marks,
    label_targets,
    offset_targets,
    stack_marks,
)
from openecg.waves import BOUNDARIES, IGNORE, KINDS, labels_from_ms

FS_HZ, N_SAMPLES = 500.0, 1000


@st.composite
def strips(draw: st.DrawFn) -> tuple[np.ndarray, ...]:
    """Waves of a strip of 2 s in time order, apart from each other, some of them incomplete."""
    cuts = draw(st.lists(st.integers(0, N_SAMPLES - 1), max_size=18, unique=True))
    kind, on, peak, off = [], [], [], []
    for first, middle, last in zip(*[iter(sorted(cuts))] * 3, strict=False):
        kind.append(draw(st.sampled_from(list(KINDS))))
        on.append(draw(st.sampled_from([first, first, np.nan])))
        peak.append(middle)
        off.append(draw(st.sampled_from([last, last, np.nan])))
    ms = [np.array(marks, dtype=float) * 1000 / FS_HZ for marks in (on, peak, off)]
    return np.array(kind, dtype=np.uint8), *ms


def stacked(*strips: tuple[np.ndarray, ...], has_p: bool = False) -> Marks:
    """Marks of strips at ``FS_HZ`` of ``N_SAMPLES``."""
    return stack_marks(
        *map(np.concatenate, zip(*strips, strict=True)),
        n_waves=np.array([len(strip[0]) for strip in strips]),
        native_fs_hz=np.full(len(strips), FS_HZ),
        native_samples=np.full(len(strips), N_SAMPLES),
        has_p=np.full(len(strips), has_p),
    )


@given(strip=strips(), masked=st.booleans(), step=st.sampled_from([1, 5]))
def test_labels_are_those_of_the_shard(
    strip: tuple[np.ndarray, ...], masked: bool, step: int
) -> None:
    n_labels = 500 // step
    marks = stacked(strip)
    edges = torch.arange(n_labels + 1)[None] * (4.0 * step)
    wanted = labels_from_ms(
        *strip,
        native_fs_hz=FS_HZ,
        native_samples=N_SAMPLES,
        frame_ms=4 * step,
        n_frames=n_labels,
        masked=masked,
    )
    assert label_targets(marks, edges, masked=masked)[0].tolist() == wanted.tolist()


def one_wave(kind: int = 2, on_ms: float = 400.0, off_ms: float = 498.0) -> tuple[np.ndarray, ...]:
    return np.array([kind], dtype=np.uint8), *(np.array([ms]) for ms in (on_ms, 450.0, off_ms))


@given(scale=st.floats(0.5, 2), shift_ms=st.floats(-300, 300))
def test_labels_and_offsets_move_with_stretched_time(scale: float, shift_ms: float) -> None:
    marks = stacked(one_wave())
    # An item of 2 s in labels of 4 ms: label k shows the strip from shift + 4 k / scale on.
    edges = (torch.arange(501) * 4.0 / scale + shift_ms)[None]
    labels = label_targets(marks, edges, masked=False)[0].numpy()
    offsets = offset_targets(marks, edges, samples_per_label=1)[0].numpy()
    first, end = (400 - shift_ms) * scale / 4, (500 - shift_ms) * scale / 4
    last = (498 - shift_ms) * scale / 4
    called = np.flatnonzero(labels == 2)
    assert called.size == pytest.approx(max(0, min(end, 500) - max(first, 0)), abs=1)
    if called.size and first > 1 and end < 499:
        assert called[0] == pytest.approx(first, abs=0.5001)
        assert called[-1] + 1 == pytest.approx(end, abs=0.5001)
    for name, place in (("QRS_on", first), ("QRS_off", last)):
        column = offsets[:, BOUNDARIES.index(name)]
        near = np.abs(place - np.arange(500)) < 24.99
        np.testing.assert_allclose(column[near], place - np.flatnonzero(near), atol=2e-3)
        assert np.isnan(column[np.abs(place - np.arange(500)) > 25.01]).all()
    outside = (edges[0, 1:] <= 0) | (edges[0, :-1] >= 2000)
    assert (labels[outside.numpy()] == IGNORE).all()


def test_offsets_are_measured_from_the_start_of_a_label_and_exact_below_a_sample() -> None:
    strip = one_wave(kind=3, on_ms=402.0, off_ms=498.0)
    marks = stacked(strip)
    edges = torch.arange(101)[None] * 20.0
    offsets = offset_targets(marks, edges, samples_per_label=5)[0]
    on, off = BOUNDARIES.index("T_on"), BOUNDARIES.index("T_off")
    assert offsets[20, on].item() == 0.5  # 402 ms seen from 400 ms, in samples of 4 ms
    assert offsets[19, on].item() == 5.5
    assert offsets[24, off].item() == 4.5  # 498 ms seen from 480 ms
    assert offsets[26, off].item() == -5.5
    assert offsets[:, : on - 1].isnan().all()


def test_the_boundaries_of_incomplete_waves_are_targets_and_their_inside_is_not() -> None:
    kind, on, peak, off = one_wave()
    kind, peak = np.repeat(kind, 3), np.array([450.0, 1050.0, 1650.0])
    on, off = np.array([400.0, np.nan, 1600.0]), np.array([500.0, 1100.0, 1700.0])
    marks = stacked((kind, on, peak, off))
    edges = torch.arange(501)[None] * 4.0
    labels = label_targets(marks, edges, masked=True)[0]
    assert set(labels[240:275].tolist()) == {IGNORE}
    offsets = offset_targets(marks, edges, samples_per_label=1)[0]
    assert offsets[275, BOUNDARIES.index("QRS_off")].item() == 0
    assert offsets[250:275, BOUNDARIES.index("QRS_on")].isnan().all()


@given(strip=strips(), masked=st.booleans())
def test_what_lies_between_waves_may_be_p_where_no_p_is_marked(
    strip: tuple[np.ndarray, ...], masked: bool
) -> None:
    edges = torch.arange(501)[None] * 4.0
    plain = label_targets(stacked(strip), edges, masked=masked)
    unsure = label_targets(stacked(strip, has_p=True), edges, masked=masked)
    between = plain == 0
    assert torch.equal(unsure[~between], plain[~between])
    either = masked and 1 not in strip[0]
    assert set(unsure[between].tolist()) <= {OTHER_OR_P if either else 0}


@given(several=st.lists(strips(), min_size=1, max_size=4))
def test_strips_do_not_mix(several: list[tuple[np.ndarray, ...]]) -> None:
    together = stacked(*several)
    for i, strip in enumerate(several):
        for field in fields(Marks):
            own = getattr(together, field.name)[i : i + 1]
            alone = getattr(stacked(strip), field.name)
            width = alone.shape[-1]
            assert torch.equal(own[..., :width], alone), field.name
            assert own[..., width:].isposinf().all()
    several.append((np.zeros(0, np.uint8), *[np.zeros(0)] * 3))
    edges = (torch.arange(501) * 4.0).expand(len(several), -1)
    together = stacked(*several)
    labels = label_targets(together, edges, masked=True)
    assert set(labels[-1].tolist()) == {IGNORE}
    order = torch.arange(len(several)).flip(0)
    backwards = label_targets(together.at(order), edges, masked=True)
    assert torch.equal(backwards, labels.flip(0))


def test_each_strip_has_its_own_rate_and_length() -> None:
    slow, fast = one_wave(1, 100.0, 500.0), one_wave(3, 300.0, np.nan)
    marks = stack_marks(
        *map(np.concatenate, zip(slow, fast, strict=True)),
        n_waves=np.array([1, 1]),
        native_fs_hz=np.array([250.0, 1000.0]),
        native_samples=np.array([500, 3000]),
        has_p=np.zeros(2, dtype=bool),
    )
    assert marks.end_ms.tolist() == [2000, 3000]
    assert marks.off_ms[0, 0].tolist() == [504]
    assert marks.span_ms.tolist() == [[100, 504], [300, 301]]
    assert marks.unknown_on_ms[:, 0].tolist() == [[torch.inf], [300]]
    assert marks.unknown_off_ms[:, 0].tolist() == [[torch.inf], [451]]
