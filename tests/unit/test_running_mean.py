"""The running mean of weights."""

import pytest
from torch import nn
from torch.optim.swa_utils import AveragedModel

from openecg.stage2.run import running_mean


def mean_of(values: list[float], decay: float) -> float:
    """Average a weight that takes these values."""
    network = nn.Linear(1, 1, bias=False)
    average = AveragedModel(network, multi_avg_fn=running_mean(decay), use_buffers=True)
    for value in values:
        nn.init.constant_(network.weight, value)
        average.update_parameters(network)
    return float(average.module.weight.item())


def test_the_first_weights_soon_fade() -> None:
    assert mean_of([1000.0] + [1.0] * 100, decay=0.998) == pytest.approx(1, abs=1e-3)


def test_the_last_weights_count_by_the_decay_once_it_is_reached() -> None:
    before = [0.0] * 500
    assert mean_of([*before, 1.0], decay=0.9) == pytest.approx(0.1)
    assert mean_of([*before, 1.0, 0.0], decay=0.9) == pytest.approx(0.09)


def test_earlier_they_count_by_the_number_of_steps() -> None:
    assert mean_of([0.0, 1.0], decay=0.998) == pytest.approx(1 - 2 / 11)


def test_a_weight_that_stays_is_its_own_mean() -> None:
    assert mean_of([0.25] * 30, decay=0.998) == pytest.approx(0.25)
