"""The made-up heart: boundaries are where they are said to be, and leads tell of one heart."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from openecg.simulation import (
    GAP_S,
    KINDS,
    LEADS,
    LIMB_LEADS,
    RR_LIMITS_S,
    SCATTER_LIMIT_S,
    Kind,
    Strip,
    _pulses,
    choose_kinds,
    simulate_strip,
)
from openecg.waves import QRS, P, T

SEEDS = (0, 1)


def strip_of(
    kind: Kind, seed: int = 0, fs_hz: float = 500.0, seconds: float = 10.0, scatter: bool = True
) -> Strip:
    return simulate_strip(
        kind,
        leads=LEADS,
        fs_hz=fs_hz,
        n_samples=round(seconds * fs_hz),
        scatter=scatter,
        rng=np.random.default_rng(seed),
    )


@pytest.fixture(scope="module", params=range(len(KINDS)), ids=lambda i: f"kind{i}")
def strips(request: pytest.FixtureRequest) -> list[Strip]:
    return [strip_of(KINDS[request.param], seed, fs_hz) for seed in SEEDS for fs_hz in (250, 500)]


def test_waves_are_exactly_zero_outside_their_marks_and_not_at_them(
    strips: list[Strip],
) -> None:
    for strip in strips:
        for row, mv in enumerate(strip.waves_mv):
            inside = np.zeros(len(mv), dtype=bool)
            for on, off in zip(strip.on[row], strip.off[row], strict=True):
                inside[on : off + 1] = True
                assert mv[on] != 0
                assert mv[off] != 0
            assert np.all(mv[~inside] == 0)


def test_no_two_waves_touch_and_peaks_lie_inside(strips: list[Strip]) -> None:
    for strip in strips:
        assert np.all(strip.on[:, 1:] - strip.off[:, :-1] >= 2)
        assert np.all(strip.on < strip.peak)
        assert np.all(strip.peak < strip.off)
        assert strip.on.min() >= 0
        assert strip.off.max() < strip.signal.shape[1]
        peaks_mv = np.take_along_axis(strip.waves_mv, strip.peak, axis=1)
        middles_mv = np.take_along_axis(strip.waves_mv, (strip.on + strip.off) // 2, axis=1)
        assert np.all(np.abs(peaks_mv) >= np.abs(middles_mv))


@pytest.mark.parametrize("rhythm", ["Sinus tachycardia", "Atrial fibrillation"])
def test_t_gives_way_to_early_beats(rhythm: str) -> None:
    kind = next(kind for kind in KINDS if kind.rhythm == rhythm)
    hasty = replace(kind, rr_s=(0.48, 0.48), spread=0.2)
    strip = strip_of(hasty, fs_hz=1000.0, seconds=120.0, scatter=False)
    assert np.all(strip.on[:, 1:] - strip.off[:, :-1] >= 1000 * GAP_S - 1)


def test_wave_lengths_are_those_of_people(strips: list[Strip]) -> None:
    bounds_s = {P: (0.07, 0.13), QRS: (0.06, 0.20), T: (0.10, 0.24)}
    for strip in strips:
        length_s = (strip.off - strip.on) / strip.fs_hz
        for kind, (low, high) in bounds_s.items():
            of_kind = length_s[:, strip.wave_kind == kind]
            assert np.all((of_kind >= low) & (of_kind <= high))


def test_leads_agree_but_for_a_small_scatter_of_the_chest(strips: list[Strip]) -> None:
    limb = [row for row, lead in enumerate(LEADS) if lead in LIMB_LEADS]
    for strip in strips:
        for marks in (strip.on, strip.off):
            assert np.all(marks[limb] == marks[0])
            assert np.abs(marks - marks[0]).max() <= SCATTER_LIMIT_S * strip.fs_hz
            assert np.any(marks != marks[0])
    still = strip_of(strips[0].kind, scatter=False)
    assert np.all(still.on == still.on[0])
    assert np.all(still.off == still.off[0])


def test_einthoven_and_goldberger_hold_with_noise_and_pulses(strips: list[Strip]) -> None:
    for strip in strips:
        one, two, three, right, left, foot = strip.signal[:6]
        for found, expected in (
            (three, two - one),
            (right, -(one + two) / 2),
            (left, one - two / 2),
            (foot, two - one / 2),
        ):
            np.testing.assert_allclose(found, expected, atol=1e-12)


def test_intervals_between_qrs_complexes(strips: list[Strip]) -> None:
    for strip in strips:
        rr_s = np.diff(strip.on[0, strip.wave_kind == QRS]) / strip.fs_hz
        assert RR_LIMITS_S[0] <= rr_s.min()
        assert rr_s.max() <= RR_LIMITS_S[1]
        if strip.kind.rhythm == "Sinus bradycardia":
            assert rr_s.mean() >= 1.0
        if strip.kind.rhythm == "Sinus tachycardia":
            assert rr_s.mean() <= 0.6


def test_atria_that_do_not_beat_make_no_p_but_keep_moving() -> None:
    for kind in KINDS:
        strip = strip_of(kind)
        quiet = kind.atria != "sinus"
        assert np.any(strip.wave_kind == P) != quiet
        if quiet:
            between = np.ones(strip.signal.shape[1], dtype=bool)
            for on, off in zip(strip.on.min(axis=0), strip.off.max(axis=0), strict=True):
                between[on : off + 1] = False
            between[near_pulses(strip)] = False
            two = strip.signal[1, between]
            assert np.ptp(two) > 0.03


def test_dropped_beats_leave_a_p_without_qrs() -> None:
    for kind in KINDS:
        strip = strip_of(kind, seconds=30.0)
        followed = strip.wave_kind[1:][strip.wave_kind[:-1] == P]
        assert np.any(followed == P) == bool(kind.block)
        assert np.all(followed != T)


def test_wenckebach_pr_grows_until_the_beat_is_dropped() -> None:
    (kind,) = [kind for kind in KINDS if kind.block == "wenckebach"]
    strip = strip_of(kind, seconds=60.0)
    p_then_qrs = (strip.wave_kind[:-1] == P) & (strip.wave_kind[1:] == QRS)
    at = np.flatnonzero(p_then_qrs)
    pr_s = (strip.on[0, at + 1] - strip.on[0, at]) / strip.fs_hz
    grew = np.diff(pr_s) > 0
    between = zip(at[:-1] + 2, at[1:], strict=True)
    dropped = np.array([np.any(strip.wave_kind[a:b] == P) for a, b in between])
    assert dropped.sum() > 5
    assert np.all(grew != dropped)
    assert pr_s.max() - pr_s.min() > 0.05


def test_first_degree_block_is_a_long_pr() -> None:
    (kind,) = [kind for kind in KINDS if kind.conduction == "I degree av block"]
    strip = strip_of(kind)
    at = np.flatnonzero(strip.wave_kind[:-1] == P)
    assert ((strip.on[0, at + 1] - strip.on[0, at]) / strip.fs_hz).min() > 0.2


def test_wide_beats_are_wide_and_ectopic_ones_have_no_p_and_a_discordant_t() -> None:
    (kind,) = [kind for kind in KINDS if kind.ectopy]
    strip = strip_of(kind, seconds=60.0)
    ectopic = np.flatnonzero([beat == "V" for beat in strip.beat])[:-1]
    assert len(ectopic) > 3
    assert np.all(strip.wave_kind[ectopic - 1] == T)
    assert np.all((strip.off - strip.on)[0, ectopic] >= 0.13 * strip.fs_hz)
    qrs_mv, t_mv = (strip.waves_mv[1, strip.peak[1, at]] for at in (ectopic, ectopic + 1))
    assert np.all(np.sign(qrs_mv) == -np.sign(t_mv))
    for other in KINDS:
        if other.qrs != "narrow":
            wide = strip_of(other)
            assert np.all((wide.off - wide.on)[0, wide.wave_kind == QRS] >= 0.12 * wide.fs_hz)


def near_pulses(strip: Strip) -> npt.NDArray[np.int64]:
    """Samples that a pulse reaches: the filter spreads it over some."""
    middle = np.rint(strip.spikes_s * strip.fs_hz).astype(np.int64)
    return (middle[:, None] + np.arange(-12, 13)).clip(0, strip.signal.shape[1] - 1).ravel()


def test_paced_records_have_a_pulse_before_each_qrs() -> None:
    for kind in KINDS:
        strip = strip_of(kind)
        assert bool(len(strip.spikes_s)) == (kind.qrs == "paced") == bool(kind.pacing)
        qrs_on_s = strip.on[0, strip.wave_kind == QRS] / strip.fs_hz
        assert len(strip.spikes_s) == (len(qrs_on_s) if kind.qrs == "paced" else 0)
        for spike_s in strip.spikes_s:
            wait_s = qrs_on_s[qrs_on_s > spike_s].min() - spike_s
            assert 0.011 <= wait_s <= 0.013
            at = round(spike_s * strip.fs_hz)
            assert not np.any((strip.on <= at) & (at <= strip.off))
            jump_mv = strip.signal[:, at] - strip.signal[:, [at - 2, at + 2]].mean(axis=1)
            assert np.abs(jump_mv).max() > 0.15


@pytest.mark.parametrize("fs_hz", [250.0, 500.0, 1000.0])
def test_pulses_are_low_passed_and_lie_on_no_grid(fs_hz: float) -> None:
    """What a recorder stores of a short pulse is its area, around its middle."""
    at_s = np.array([0.2501, 0.5017, 0.7533])
    for width_s in (0.0005, 0.002):
        course = _pulses(at_s, width_s, n_samples=round(fs_hz), fs_hz=fs_hz)
        assert course.shape == (round(fs_hz),)
        assert course.sum() / fs_hz == pytest.approx(3 * width_s, rel=0.06)
        for middle_s in at_s:
            near = np.arange(round((middle_s - 0.05) * fs_hz), round((middle_s + 0.05) * fs_hz))
            centroid_s = np.average(near / fs_hz, weights=course[near])
            assert centroid_s == pytest.approx(middle_s, abs=0.25 / fs_hz)
    paced = [strip_of(kind) for kind in KINDS if kind.pacing]
    offs = np.concatenate([strip.spikes_s * strip.fs_hz % 1 for strip in paced])
    assert np.histogram(offs, bins=4, range=(0, 1))[0].min() > 0


def test_waves_stand_out_of_the_noise() -> None:
    for i, kind in enumerate(KINDS):
        strip = strip_of(kind, seed=i)
        outside = (strip.waves_mv == 0).all(axis=0)
        outside[near_pulses(strip)] = False
        steps_mv = np.diff(strip.signal, axis=1)[:, outside[1:] & outside[:-1]].std(axis=1)
        assert np.all(np.ptp(strip.waves_mv, axis=1) > 5 * steps_mv)
        assert np.all(steps_mv > 0.001)


def test_same_chance_same_strip() -> None:
    one, same, other = (strip_of(KINDS[0], seed) for seed in (5, 5, 6))
    assert one.signal.tobytes() == same.signal.tobytes()
    assert one.on.tobytes() == same.on.tobytes()
    assert one.signal.tobytes() != other.signal.tobytes()


def test_every_kind_occurs_and_shares_are_near_those_of_ludb() -> None:
    assert sum(kind.share for kind in KINDS) == pytest.approx(1.0)
    chosen = choose_kinds(20, np.random.default_rng(0))
    assert set(chosen) == set(KINDS)
    many = choose_kinds(5000, np.random.default_rng(0))
    # Records of LUDB by rhythm, out of 200.
    for rhythm, records in (
        ("Sinus rhythm", 143),
        ("Sinus bradycardia", 25),
        ("Atrial fibrillation", 15),
        ("Atrial flutter, typical", 3),
    ):
        share = np.mean([kind.rhythm.startswith(rhythm) for kind in many])
        assert share == pytest.approx(records / 200, abs=0.03)
    assert np.mean([bool(kind.pacing) for kind in many]) == pytest.approx(0.05, abs=0.015)
