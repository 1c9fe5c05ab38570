from typing import Any

import pytest
import torch

from openecg.stage2.unet import build
from tests.unit.made_up_shards import UNET

MODEL: dict[str, Any] = {k: v for k, v in UNET.items() if k != "architecture"}


def network(**change: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    return build(**(MODEL | change)).eval()


def leads_of(signal: torch.Tensor) -> torch.Tensor:
    return torch.zeros(signal.shape[:2], dtype=torch.int64)


@pytest.mark.parametrize("n_samples", [64, 200, 203])
@pytest.mark.parametrize("offsets", [False, True])
def test_each_sample_gets_a_label(n_samples: int, offsets: bool) -> None:
    signal = torch.randn(2, 3, n_samples)
    out = network(offsets=offsets, channels=[4, 4, 8])(signal, leads_of(signal))
    assert out.logits.shape == (2, 3, n_samples, 4)
    assert (out.offsets.shape == (2, 3, n_samples, 6)) if offsets else out.offsets is None


def test_without_exchange_leads_do_not_influence_each_other() -> None:
    signal = torch.randn(2, 3, 64)
    model = network(exchange=False)
    together = model(signal, leads_of(signal)).logits
    torch.testing.assert_close(
        together[1:, 2:], model(signal[1:, 2:], leads_of(signal)[1:, 2:]).logits
    )


def test_with_exchange_each_lead_is_seen_by_the_others_in_any_order() -> None:
    signal = torch.randn(2, 3, 64)
    model = network()
    together = model(signal, leads_of(signal)).logits
    order = [2, 0, 1]
    torch.testing.assert_close(model(signal[:, order], leads_of(signal)).logits, together[:, order])
    other = signal.clone()
    other[0, 0] += torch.randn(64)
    changed = model(other, leads_of(signal)).logits
    assert not torch.allclose(changed[0, 1], together[0, 1], atol=1e-4)
    torch.testing.assert_close(changed[1], together[1])


def test_copies_of_all_leads_change_nothing() -> None:
    signal = torch.randn(1, 2, 64)
    model = network()
    once, twice = model(signal, leads_of(signal)), signal.repeat(1, 2, 1)
    torch.testing.assert_close(model(twice, leads_of(twice)).logits[:, :2], once.logits)


def test_labels_stand_where_their_samples_do() -> None:
    model = network(attention_layers=0, exchange=False, channels=[4, 4, 4])
    signal = torch.randn(1, 1, 400, requires_grad=True)
    out = model(signal, leads_of(signal)).logits
    (grad,) = torch.autograd.grad(out[0, 0, 200].square().sum(), signal)
    seen = grad[0, 0].nonzero().flatten()
    assert abs((seen.min() + seen.max()).item() / 2 - 200) <= 4
    assert seen.max() - seen.min() < 160


def test_attention_lets_a_label_see_the_whole_strip() -> None:
    signal = torch.randn(1, 1, 400, requires_grad=True)
    out = network()(signal, leads_of(signal)).logits
    (grad,) = torch.autograd.grad(out[0, 0, 5].square().sum(), signal)
    assert grad[0, 0, -10:].any()
