from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from openecg.stage2.conv_transformer import build
from openecg.stage2.encoder import Dropout, EncoderLayer, attention

MODEL = {
    **{"d_model": 64, "layers": 4, "heads": 4},
    **{"feed_forward": 256, "dropout": 0.1, "lead_embedding": True},
}


def test_2500_samples_give_500_frames_of_four_classes() -> None:
    network = build(**(MODEL | {"d_model": 8, "layers": 1}))
    out = network(torch.randn(2, 3, 2500), torch.zeros(2, 3, dtype=torch.int64))
    assert out.logits.shape == (2, 3, 500, 4)
    assert out.offsets is None


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)])
def test_attention_and_its_gradient_are_those_of_the_formula(
    dtype: torch.dtype, error: float
) -> None:
    torch.manual_seed(0)
    inputs = torch.randn(3, 2, 4, 50, 16).to(dtype).requires_grad_()
    exact = inputs.detach().double().requires_grad_()
    wanted_gradient = torch.randn(2, 4, 50, 16).to(dtype)
    seen = attention(*inputs)
    q, k, v = exact
    wanted = torch.softmax(q @ k.mT / 4, dim=-1) @ v
    assert seen.dtype == dtype
    seen.backward(wanted_gradient)
    wanted.backward(wanted_gradient.double())
    for found, true in ((seen, wanted), (inputs.grad, exact.grad)):
        assert found is not None
        assert true is not None
        assert (found.double() - true).norm() < error * true.norm()


class DtypesOf(TorchDispatchMode):
    """Note in which formats an operator is called."""

    def __init__(self, operator: str) -> None:
        super().__init__()
        self.operator, self.found = operator, set[torch.dtype]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.operator in str(func):
            self.found |= {arg.dtype for arg in args if isinstance(arg, torch.Tensor)}
        return func(*args, **(kwargs or {}))


def test_the_gradient_of_attention_is_computed_in_float32() -> None:
    inputs = torch.randn(3, 2, 4, 50, 16).bfloat16().requires_grad_()
    with DtypesOf("flash_attention_for_cpu_backward") as called:
        attention(*inputs).sum().backward()
    assert called.found == {torch.float32}


def test_in_autocast_the_encoder_computes_in_bfloat16_also_behind_an_embedding() -> None:
    network = build(**(MODEL | {"d_model": 8, "layers": 2}))
    found = []
    for layer in network.encoder:
        layer.register_forward_hook(lambda _, inputs, out: found.extend([inputs[0], out]))
    with torch.autocast("cpu", torch.bfloat16):
        network(torch.randn(2, 3, 200), torch.zeros(2, 3, dtype=torch.int64))
    assert {one.dtype for one in found} == {torch.bfloat16}


def test_the_encoder_layer_computes_what_the_one_of_torch_does() -> None:
    torch.manual_seed(0)
    theirs = nn.TransformerEncoderLayer(
        8, 2, 16, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    ours = EncoderLayer(8, 2, 16, dropout=0.0)
    pairs = {
        "attention_norm": theirs.norm1,
        "attention_out": theirs.self_attn.out_proj,
        "feed_forward_norm": theirs.norm2,
        "feed_forward_in": theirs.linear1,
        "feed_forward_out": theirs.linear2,
    }
    for name, layer in pairs.items():
        getattr(ours, name).load_state_dict(layer.state_dict())
    ours.qkv.weight, ours.qkv.bias = theirs.self_attn.in_proj_weight, theirs.self_attn.in_proj_bias
    x = torch.randn(3, 20, 8)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-6)


def test_windows_do_not_influence_each_other_and_the_lead_counts_only_when_embedded() -> None:
    torch.manual_seed(0)
    signal = torch.randn(3, 2, 200)
    leads = torch.tensor([[0, 1], [2, 3], [4, 5]])
    for embedded in (False, True):
        small = {"d_model": 8, "layers": 1, "lead_embedding": embedded}
        network = build(**(MODEL | small)).eval()
        together = network(signal, leads).logits
        alone = network(signal[1:2, :1], leads[1:2, :1]).logits
        torch.testing.assert_close(together[1:2, :1], alone)
        other_lead = network(signal[1:2, :1], torch.tensor([[5]])).logits
        assert torch.equal(other_lead, alone) != embedded


def test_frame_f_looks_at_the_samples_of_frame_f() -> None:
    torch.manual_seed(0)
    network = build(**(MODEL | {"d_model": 8, "layers": 1}))
    signal = torch.randn(1, 200, requires_grad=True)
    stem = network.stem(signal[:, None])  # what the encoder adds comes from all frames alike
    (grad,) = torch.autograd.grad(stem[0, :, 20].square().sum(), signal)
    seen = grad[0].nonzero().flatten()
    # 15 samples around sample 5 f, and two frames of 5 samples to either side.
    assert (seen.min(), seen.max()) == (100 - 17, 100 + 17)


def test_dropout_drops_its_share_of_every_place_and_keeps_the_mean() -> None:
    dropout, values = Dropout(0.1), torch.ones(1000, 401, requires_grad=True)
    assert dropout.eval()(values) is values
    torch.manual_seed(0)
    dropped = dropout.train()(values)
    dropped.sum().backward()
    assert set(dropped.unique().tolist()) == {0.0, torch.tensor(1 / 0.9).item()}
    assert values.grad is not None
    assert torch.equal(values.grad, dropped.detach())
    assert not torch.equal(dropout(values), dropped)
    torch.manual_seed(0)
    assert torch.equal(dropout(values), dropped)
    lost = (dropped == 0).float().flatten()
    assert lost.mean().item() == pytest.approx(0.1, abs=0.003)
    assert lost.view(-1, 4).mean(dim=0).numpy() == pytest.approx([0.1] * 4, abs=0.005)
    assert (lost[1:] * lost[:-1]).mean().item() == pytest.approx(0.01, abs=0.002)
