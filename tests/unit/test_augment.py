from typing import Any

import pytest
import torch

from openecg.stage2.augment import (
    add_spikes,
    change_signal,
    draw_times,
    keep_inside,
    signal_at,
)
from openecg.stage2.settings import Augmentation
from openecg.waves import IGNORE
from tests.unit.made_up_shards import setting_values

FS_HZ = 250.0


def augmentation(**values: Any) -> Augmentation:
    return Augmentation(**setting_values(augmentation=values)["augmentation"])


def draw(n: int, n_samples: int = 2500, **values: Any) -> torch.Tensor:
    torch.manual_seed(0)
    how = augmentation(**values)
    return draw_times(n, n_samples, how, fs_hz=FS_HZ, device=torch.device("cpu"))


def test_nothing_drawn_leaves_all_as_it_is() -> None:
    signal = torch.randn(3, 100)
    assert torch.equal(change_signal(signal, augmentation(), fs_hz=FS_HZ), signal)
    assert not augmentation().moves
    times = draw(2, 100)
    assert torch.equal(times, (torch.arange(101) * 4.0).expand(2, -1))
    assert torch.equal(signal_at(signal[:2], times[:, :-1], fs_hz=FS_HZ), signal[:2])


def test_scales_and_shifts_stay_in_their_range_and_fill_it() -> None:
    assert augmentation(time_scale=[0.8, 1.25]).moves
    assert augmentation(shift_ms=1.0).moves
    times = draw(2000, 100, time_scale=[0.8, 1.25], shift_ms=50.0)
    scale = 4.0 / times.diff(dim=1).mean(dim=1)
    assert scale.min() == pytest.approx(0.8, abs=0.01)
    assert scale.max() == pytest.approx(1.25, abs=0.01)
    assert scale.log().mean() == pytest.approx(0, abs=0.02)
    shift = times[:, 50] - 200
    assert (shift.min(), shift.max()) == (pytest.approx(-50, abs=1), pytest.approx(50, abs=1))


def test_signals_are_read_on_straight_lines_and_edges_go_on() -> None:
    signal = torch.tensor([[1.0, 3.0, 2.0]])
    times = torch.tensor([[-9.0, 0.0, 1.0, 4.0, 6.0, 8.0, 99.0]])
    assert signal_at(signal, times, fs_hz=FS_HZ)[0].tolist() == [1, 1, 1.5, 3, 2.5, 2, 2]


def test_a_stretched_sine_has_the_stretched_period() -> None:
    times = draw(4, time_scale=[1.25, 1.25])
    wave = torch.sin(2 * torch.pi * torch.arange(2500) / FS_HZ)[None].expand(4, -1)
    stretched = signal_at(wave, times[:, :-1], fs_hz=FS_HZ)
    wanted = torch.sin(2 * torch.pi * times[:, :-1] / 1000)
    torch.testing.assert_close(stretched, wanted, atol=1e-3, rtol=0)


@pytest.mark.parametrize("operations", [1, 2, 3, 4])
def test_so_many_operations_are_applied_to_each_window(operations: int) -> None:
    torch.manual_seed(0)
    flat, one = torch.zeros(500, 2500), torch.ones(500, 2500)
    changed = change_signal(flat, augmentation(operations=operations), fs_hz=FS_HZ)
    # Amplitude leaves a flat line flat: one operation changes three of four windows.
    assert (changed.any(dim=1).float().mean()) == pytest.approx(
        1 if operations > 1 else 0.75, abs=0.06
    )
    assert changed.abs().max() < 0.08 + 0.05 + 6 * 0.08 * 1.3
    torch.manual_seed(0)
    moved = change_signal(one, augmentation(operations=operations), fs_hz=FS_HZ).mean(dim=1) - 1
    assert (moved.abs() > 0.02).float().mean() <= operations / 4 + 0.06


@pytest.mark.parametrize(("name", "value"), [("noise", 0.5), ("wander", 0.5), ("amplitude", 0.3)])
def test_each_change_is_another_for_each_window_and_not_too_large(name: str, value: float) -> None:
    torch.manual_seed(0)
    signal = torch.sin(torch.arange(2500) / 7)[None].expand(200, -1)
    change = change_signal(signal, augmentation(**{name: value}), fs_hz=FS_HZ) - signal
    size = change.std(dim=1)
    assert size.std() > 0.02
    assert size.max() < {"noise": 0.55, "wander": 0.8, "amplitude": 0.22}[name]


def test_edges_are_left_out_exactly() -> None:
    target = torch.ones(2, 500, dtype=torch.uint8)
    kept = keep_inside(target, augmentation(mask_edges_s=2.0), label_ms=20.0)
    assert (kept[:, 100:400] == 1).all()
    assert (kept[:, :100] == IGNORE).all()
    assert (kept[:, 400:] == IGNORE).all()
    assert target.all()
    assert torch.equal(keep_inside(target, augmentation(), label_ms=20.0), target)


def spiked(n_items: int, n_leads: int, onsets: list[float], **values: Any) -> torch.Tensor:
    torch.manual_seed(0)
    flat = torch.zeros(n_items * n_leads, 500)
    times = (torch.arange(500) * 4.0).expand(len(flat), -1)
    on_ms = torch.tensor([*onsets, torch.inf]).expand(len(flat), -1)
    paced = add_spikes(flat, times, on_ms, augmentation(**values), n_leads=n_leads)
    return paced.view(n_items, n_leads, 500)


def test_spikes_lie_just_ahead_of_each_qrs_in_all_leads_at_once() -> None:
    paced = spiked(300, 3, [400.0, 1200.0], spikes=1.0)
    at = paced.abs().argmax(dim=2)  # the first of two equal ones
    assert torch.equal(at, at[:, :1].expand(-1, 3))
    ahead_ms = 400 - 4.0 * at[:, 0]
    assert ahead_ms.min() >= 0
    assert ahead_ms.max() <= 24
    assert ahead_ms.unique().numel() == 6
    first, second = paced[:, :, 90:110], paced[:, :, 290:310]
    assert torch.equal(first, second)
    assert ((first != 0).sum(dim=2) == 2).all()
    assert not paced[:, :, 110:290].any()


def test_the_share_of_items_with_spikes_is_kept_and_leads_differ() -> None:
    paced = spiked(2000, 2, [400.0], spikes=0.3)
    has = paced.ne(0).any(dim=2)
    assert torch.equal(has[:, 0], has[:, 1])
    assert has[:, 0].float().mean() == pytest.approx(0.3, abs=0.03)
    sizes = paced.abs().amax(dim=2)[has[:, 0]]
    assert (sizes[:, 0] != sizes[:, 1]).all()
    assert sizes.mean() == pytest.approx(1.2, abs=0.15)  # 3 / 2 times the mean of |N(0, 1)|


@pytest.mark.parametrize("onset", [0.0, 2600.0, float("inf")])
def test_a_spike_outside_of_the_window_is_left_out(onset: float) -> None:
    assert not spiked(50, 2, [onset], spikes=1.0).any()
