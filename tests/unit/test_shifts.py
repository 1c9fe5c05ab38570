"""The mean over shifted copies keeps every label at its time."""

import pytest
import torch
from torch import Tensor, nn

from openecg.stage2.network import Output
from openecg.stage2.shifts import STEP, run_shifted

LEADS = torch.zeros(2, 1, dtype=torch.int64)


class Level(nn.Module):
    """Call what is above 0 the second class, label by label, and give the level as the offset."""

    def __init__(self, samples_per_label: int) -> None:
        super().__init__()
        self.samples_per_label = samples_per_label
        self.seen: list[Tensor] = []

    def forward(self, signal: Tensor, lead_index: Tensor) -> Output:
        """Map [B, L, n] to logits and offsets [B, L, T, ...]."""
        self.seen.append(signal)
        level = signal.unflatten(2, (-1, self.samples_per_label)).mean(dim=3)
        return Output(torch.stack([-9 * level, 9 * level], dim=3), level[..., None])


@pytest.mark.parametrize("samples_per_label", [1, 5])
@pytest.mark.parametrize("shifts", [1, 2, 5])
def test_what_does_not_depend_on_place_stays(samples_per_label: int, shifts: int) -> None:
    torch.manual_seed(0)
    network, signal = Level(samples_per_label), torch.randn(2, 1, 60 * samples_per_label)
    out = run_shifted(network, signal, LEADS, shifts=shifts)
    alone = network(signal, LEADS)
    assert out.offsets is not None
    assert alone.offsets is not None
    torch.testing.assert_close(out.logits.softmax(2), alone.logits.softmax(3).flatten(0, 1))
    torch.testing.assert_close(out.offsets, alone.offsets.flatten(0, 1))


def test_the_copies_lie_around_the_strip_and_end_in_its_last_samples() -> None:
    network, signal = Level(1), torch.arange(30.0).expand(2, 1, -1)
    run_shifted(network, signal, LEADS, shifts=3)
    moved = {int(copy[0, 0, 10]) - 10: copy[0, 0] for copy in network.seen}
    assert sorted(moved) == [-STEP, 0, STEP]
    assert moved[STEP].max() == 29
    assert moved[-STEP].min() == 0
    assert moved[STEP].tolist() == [min(i + STEP, 29) for i in range(30)]


def test_it_is_a_mean() -> None:
    class Early(Level):
        """Say of a copy only what its first sample is."""

        def forward(self, signal: Tensor, lead_index: Tensor) -> Output:
            first = signal[..., :1].expand_as(signal)
            return Output(torch.stack([torch.zeros_like(first), first], dim=3))

    signal = torch.arange(30.0).expand(2, 1, -1) / 10
    out = run_shifted(Early(1), signal, LEADS, shifts=3)
    wanted = torch.tensor([0.0, 0.0, STEP / 10]).sigmoid().mean()
    middle = out.logits.softmax(2)[:, 10, 1]
    torch.testing.assert_close(middle, wanted.expand(2))
    edge = torch.tensor([0.0, 0.0]).sigmoid().mean()  # the copy ahead says nothing of label 0
    torch.testing.assert_close(out.logits.softmax(2)[:, 0, 1], edge.expand(2))
