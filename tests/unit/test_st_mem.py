import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

from openecg.errors import ConfigError
from openecg.stage2.st_mem import StMemEncoder, build, label_shares, windows_over
from tests.unit.toy_strips import GUESSED, learn, toy_strips

WIDTH, HEADS, FEED_FORWARD, LAYERS = 64, 1, 96, 2
PROBE: dict[str, Any] = {
    **{"mode": "linear_probe", "dropout": 0.0},
    "encoder_learning_rate": None,
}
TUNED = PROBE | {"mode": "fine_tune", "encoder_learning_rate": 1e-3}
LEADS = torch.arange(12)


def published(width: int = WIDTH, layers: int = LAYERS) -> dict[str, Tensor]:
    """Make weights with the names and shapes of the published encoder."""
    generator = torch.Generator().manual_seed(0)
    inner = width  # heads of 64 channels
    shapes: dict[str, tuple[int, ...]] = {
        "pos_embedding": (1, 32, width),
        "sep_embedding": (width,),
        **{f"lead_embeddings.{lead}": (width,) for lead in range(12)},
        **norm("to_patch_embedding.1", 75),
        **linear("to_patch_embedding.2", 75, width),
        **norm("to_patch_embedding.3", width),
        **norm("norm", width),
    }
    for k in range(layers):
        shapes |= norm(f"block{k}.attn.norm", width)
        shapes |= linear(f"block{k}.attn.fn.to_qkv", width, 3 * inner)
        shapes |= linear(f"block{k}.attn.fn.to_out.0", inner, width)
        shapes |= norm(f"block{k}.ff.norm", width)
        shapes |= linear(f"block{k}.ff.fn.net.0", width, FEED_FORWARD)
        shapes |= linear(f"block{k}.ff.fn.net.3", FEED_FORWARD, width)
    drawn = {
        name: torch.randn(shape, generator=generator) / shape[-1] ** 0.5
        for name, shape in shapes.items()
    }
    gains = {name: 1 + drawn[name] for name in drawn if is_gain(name)}
    return drawn | gains


def is_gain(name: str) -> bool:
    return bool(re.search(r"norm\.weight|embedding\.[13]\.weight", name))


def norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def linear(name: str, n_in: int, n_out: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (n_out, n_in), f"{name}.bias": (n_out,)}


@pytest.fixture
def weights(tmp_path: Path) -> str:
    path = tmp_path / "encoder.pth"
    torch.save({"epoch": 799, "model": published(), "optimizer": None, "config": {"a": 1}}, path)
    return str(path)


def formula(w: dict[str, Tensor], signal: Tensor, leads: list[int]) -> Tensor:
    """Compute the tokens of one window, lead after lead, step by step as the paper says."""

    def normed(x: Tensor, name: str) -> Tensor:
        return functional.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])

    def mapped(x: Tensor, name: str) -> Tensor:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    rows = []
    for strip, lead in zip(signal, leads, strict=True):
        patches = normed(strip.view(-1, 75), "to_patch_embedding.1")
        patches = normed(mapped(patches, "to_patch_embedding.2"), "to_patch_embedding.3")
        position = w["pos_embedding"][0]
        row = [w["sep_embedding"] + position[0]]
        row += [patch + position[k + 1] for k, patch in enumerate(patches)]
        row += [w["sep_embedding"] + position[31]]
        rows += [token + w[f"lead_embeddings.{lead}"] for token in row]
    x = torch.stack(rows)
    for k in range(LAYERS):
        q, key, value = mapped(normed(x, f"block{k}.attn.norm"), f"block{k}.attn.fn.to_qkv").chunk(
            3, dim=1
        )
        heads = []
        for head in range(HEADS):
            part = slice(64 * head, 64 * head + 64)
            seen = (q[:, part] @ key[:, part].T / 8).softmax(dim=1)
            heads.append(seen @ value[:, part])
        x = x + mapped(torch.cat(heads, dim=1), f"block{k}.attn.fn.to_out.0")
        inner = functional.gelu(mapped(normed(x, f"block{k}.ff.norm"), f"block{k}.ff.fn.net.0"))
        x = x + mapped(inner, f"block{k}.ff.fn.net.3")
    return normed(x, "norm").view(len(leads), -1, WIDTH)[:, 1:-1]


def test_tokens_are_those_of_the_published_formula(weights: str) -> None:
    encoder = build(**PROBE, weights=weights).encoder.eval()
    signal, leads = torch.randn(2, 3, 2250), [1, 0, 11]
    tokens = encoder.tokens(signal, torch.tensor([leads, leads]))
    assert tokens.shape == (2, 3, 30, WIDTH)
    for strip, result in zip(signal, tokens, strict=True):
        torch.testing.assert_close(result, formula(published(), strip, leads), rtol=1e-4, atol=1e-5)


def test_the_published_sizes_load(tmp_path: Path) -> None:
    with torch.device("meta"):
        encoder = StMemEncoder(width=768, layers=12, feed_forward=3072, dropout=0.0)
    # 12 blocks of a ViT-B, its final norm, 32 positions, 12 leads, one separator, patches.
    patches = 2 * 75 + 76 * 768 + 2 * 768
    blocks = 12 * (4 * 768**2 + 2 * 768 * 3072 + 3072 + 9 * 768)
    count = sum(p.numel() for p in encoder.parameters())
    assert count == blocks + 2 * 768 + (32 + 12 + 1) * 768 + patches
    path = tmp_path / "small.safetensors"
    safetensors.torch.save_file(published(width=384, layers=3), path)
    assert build(**PROBE, weights=str(path)).layout == {
        **{"width": 384, "layers": 3, "feed_forward": FEED_FORWARD}
    }


@pytest.mark.parametrize("n_samples", [200, 2250, 2500, 5000])
@pytest.mark.parametrize("leads", [1, 12])
def test_each_five_samples_of_each_lead_get_logits(
    n_samples: int, leads: int, weights: str
) -> None:
    network = build(**PROBE, weights=weights)
    output = network(torch.randn(2, leads, n_samples), LEADS[:leads].expand(2, -1))
    assert output.logits.shape == (2, leads, n_samples // 5, 4)
    assert output.logits.isfinite().all()
    assert output.offsets is None


class PatchMeans(StMemEncoder):
    """Has the mean of a patch as its only feature, so that a ramp shows where a patch is."""

    def tokens(self, windows: Tensor, lead_index: Tensor) -> Tensor:
        return windows.unflatten(2, (-1, 75)).mean(dim=3, keepdim=True)


@pytest.mark.parametrize("n_samples", [750, 1000, 2250, 2500, 2600, 5000])
def test_features_are_at_the_time_of_their_label(n_samples: int) -> None:
    encoder = PatchMeans(width=64, layers=0, feed_forward=1, dropout=0.0)
    ramp = torch.arange(float(n_samples)).expand(1, 1, -1)
    features = encoder(ramp, torch.zeros(1, 1, dtype=torch.int64))[0, 0, :, 0]
    middles = torch.arange(n_samples // 5) * 5.0 + 2
    inside = (middles > 37) & (middles < n_samples - 75)  # between the middles of two patches
    torch.testing.assert_close(features[inside], middles[inside], rtol=0, atol=0.02)


@pytest.mark.parametrize("n_samples", [10, 2250, 2255, 2500, 4500, 12_345])
def test_windows_cover_every_sample_and_shares_sum_to_one(n_samples: int) -> None:
    starts, n_patches = windows_over(n_samples)
    assert starts[0] == 0
    assert starts[-1] + 75 * n_patches >= n_samples
    assert all(b - a <= 75 * n_patches for a, b in pairwise(starts))
    if n_samples > 2250:
        assert starts[-1] + 2250 == n_samples  # nothing is filled up
    shares = label_shares(starts, n_patches, torch.arange(n_samples // 5) * 5.0 + 2)
    assert (shares >= 0).all()
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(n_samples // 5))


def test_no_window_comes_in_or_goes_out_at_once() -> None:
    shares = label_shares([0, 250], 30, torch.arange(500) * 5.0 + 2).view(500, 2, 30).sum(dim=2)
    assert shares[0].tolist() == [1, 0]
    assert shares[-1].tolist() == [0, 1]
    assert shares.diff(dim=0).abs().max() < 0.05


def test_leads_see_each_other_and_their_order_does_not_matter(weights: str) -> None:
    network = build(**PROBE, weights=weights).eval()
    signal = torch.randn(1, 3, 2500)
    logits = network(signal, LEADS[None, :3]).logits
    order = [2, 0, 1]
    torch.testing.assert_close(
        network(signal[:, order], LEADS[None, order]).logits, logits[:, order]
    )
    assert not torch.allclose(network(signal[:, :1], LEADS[None, :1]).logits, logits[:, :1])
    assert not torch.allclose(network(signal, LEADS[None, 3:6]).logits, logits)


def test_offset_and_scale_of_the_signal_do_not_matter(weights: str) -> None:
    network = build(**PROBE, weights=weights).eval()
    signal = torch.randn(1, 2, 2500)
    logits = network(signal, LEADS[None, :2]).logits
    other = network(5 * signal + 3, LEADS[None, :2]).logits
    torch.testing.assert_close(other, logits, rtol=0, atol=1e-3)


def test_a_linear_probe_trains_the_head_and_leaves_the_encoder(weights: str) -> None:
    network = build(**(PROBE | {"weights": weights, "dropout": 0.3}))
    encoder = {name: value.clone() for name, value in network.encoder.state_dict().items()}
    head = network.head.weight.detach().clone()
    assert [group["lr"] for group in network.parameter_groups(1e-3)] == [1e-3]
    losses = learn(network, toy_strips(leads=1), steps=15)
    assert losses[-1] < 0.7 * GUESSED
    assert not torch.equal(network.head.weight, head)
    assert network.training
    assert not any(module.training for module in network.encoder.modules())
    for name, value in network.encoder.state_dict().items():
        assert torch.equal(value, encoder[name])


def test_fine_tuning_trains_both_at_their_own_rates(weights: str) -> None:
    network = build(**TUNED, weights=weights)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    assert [group["lr"] for group in network.parameter_groups(0.1)] == [0.1, 1e-3]
    grouped = sum(len(group["params"]) for group in network.parameter_groups(0.1))
    assert grouped == len(before)
    losses = learn(network, toy_strips(leads=12), steps=6)
    assert losses[-1] < 0.7 * GUESSED
    same = {name for name, value in network.named_parameters() if torch.equal(value, before[name])}
    assert not same
    assert all(module.training for module in network.modules())


def test_equal_seeds_give_equal_weights_by_deterministic_kernels(weights: str) -> None:
    torch.use_deterministic_algorithms(True)
    try:
        runs = []
        for _ in range(2):
            torch.manual_seed(0)
            network = build(**(TUNED | {"weights": weights, "dropout": 0.2}))
            learn(network, toy_strips(leads=1), steps=2)
            runs.append(network.state_dict())
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(value, runs[1][name]) for name, value in runs[0].items())


def test_a_checkpoint_does_without_the_pretrained_file(weights: str) -> None:
    model = PROBE | {"weights": weights}
    network = build(**model).eval()
    Path(weights).unlink()
    with torch.device("meta"):
        again = build(**(model | {"layout": network.layout}))
    again.load_state_dict(network.state_dict(), assign=True)
    signal = torch.randn(1, 1, 2500)
    assert torch.equal(
        again.eval()(signal, LEADS[None, :1]).logits, network(signal, LEADS[None, :1]).logits
    )


def test_it_computes_in_bfloat16(weights: str) -> None:
    network = build(**TUNED, weights=weights)
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(torch.randn(1, 2, 2500), LEADS[None, :2]).logits
    assert logits.dtype == torch.bfloat16
    logits.float().square().mean().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


def test_a_foreign_or_incomplete_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "encoder.pth"
    whole = published()
    shorter = whole | {"to_patch_embedding.1.weight": torch.ones(50)}
    wrong: dict[str, dict[str, Tensor]] = {
        "StMemEncoder; missing: block1.attn.fn.to_qkv.bias$": {
            k: v for k, v in whole.items() if k != "block1.attn.fn.to_qkv.bias"
        },
        "StMemEncoder; unexpected: head.bias, head.weight$": whole
        | {"head.weight": torch.zeros(3, WIDTH), "head.bias": torch.zeros(3)},
        r"another shape: to_patch_embedding.1.weight \(50,\) instead of \(75,\)$": shorter,
        "no ST-MEM encoder; wanted: tensor pos_embedding of 3 dimensions; found: 2 tensors, "
        "first weight": nn.Linear(2, 3).state_dict(),
        "found: 0 tensors, first none": {},
        "width 65; wanted: a multiple of 64": whole | {"pos_embedding": torch.zeros(1, 32, 65)},
    }
    for words, tensors in wrong.items():
        torch.save({"model": tensors}, path)
        with pytest.raises(ConfigError, match=words) as caught:
            build(**PROBE, weights=str(path))
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"lost.pth: no such file"):
        build(**PROBE, weights=str(tmp_path / "lost.pth"))
