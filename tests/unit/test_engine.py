import numpy as np
import pytest
import torch
from torch import nn

from openecg.stage2.engine import (
    COMPILED_STEPS,
    EVALUATION_BATCH,
    build_model,
    compiled,
    run_network,
    smaller_groups,
)
from tests.unit.made_up_shards import UNET


def test_windows_come_back_in_their_order_however_they_are_grouped() -> None:
    torch.manual_seed(0)
    network = build_model(UNET | {"exchange": False})
    n = EVALUATION_BATCH + 6
    signal, leads = torch.randn(n, 64), torch.zeros(n, dtype=torch.int64)
    alone = run_network(network, signal, leads, torch.arange(n)[:, None])
    assert not network.training
    items = torch.randperm(n).view(-1, 3)
    grouped = run_network(network, signal, leads, items)
    torch.testing.assert_close(grouped.logits, alone.logits)
    assert grouped.offsets is not None
    torch.testing.assert_close(grouped.offsets, alone.offsets)
    repeated = run_network(network, signal, leads, torch.cat([items, items], dim=1))
    torch.testing.assert_close(repeated.logits, alone.logits)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 12])
def test_every_window_is_in_a_group_of_its_item(size: int) -> None:
    items = np.arange(24).reshape(2, 12)
    groups = smaller_groups(items, size, seed=3)
    assert groups.shape == (2 * -(-12 // size), size)
    assert set(groups.ravel()) == set(range(24))
    assert all(len(set(group)) == size and len(set(group // 12)) == 1 for group in groups)
    assert np.array_equal(groups, smaller_groups(items, size, seed=3))


@pytest.mark.parametrize(
    ("device", "n_steps", "varied", "pays"),
    [
        ("cuda", COMPILED_STEPS, False, True),
        ("cuda", COMPILED_STEPS - 1, False, False),
        ("cuda", COMPILED_STEPS, True, False),
        ("cpu", COMPILED_STEPS, False, False),
    ],
)
def test_a_network_is_compiled_for_long_trainings_of_one_shape_on_a_gpu(
    device: str, n_steps: int, varied: bool, pays: bool
) -> None:
    network = nn.Linear(2, 2)
    made = compiled(network, torch.device(device), n_steps=n_steps, varied=varied)
    assert (made is not network) == pays
    assert list(map(id, made.parameters())) == list(map(id, network.parameters()))
