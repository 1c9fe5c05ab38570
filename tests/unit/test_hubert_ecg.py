import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from scipy.signal import resample_poly
from torch import Tensor, nn
from torch.nn import functional

from openecg.errors import ConfigError
from openecg.stage2.hubert_ecg import (
    HubertEncoder,
    build,
    hubert_model,
    polyphase_taps,
    resample,
    token_grid,
)
from tests.unit.toy_strips import GUESSED, learn, toy_strips

transformers = pytest.importorskip("transformers", reason="the extra ssl is not installed")

# Convolutions of the published models, at 100 Hz.
CONVOLUTIONS = {"conv_kernel": [10, 3, 3, 2, 2], "conv_stride": [4, 2, 2, 2, 2]}
TINY = {
    **{"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "conv_dim": [8] * 5},
    **{"intermediate_size": 24, "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2},
    **CONVOLUTIONS,
}
PROBE: dict[str, Any] = {
    **{"mode": "linear_probe", "dropout": 0.0},
    "encoder_learning_rate": None,
}
TUNED = PROBE | {"mode": "fine_tune", "encoder_learning_rate": 1e-3}
LEADS = torch.arange(12)


@pytest.fixture
def weights(tmp_path: Path) -> str:
    """Make a folder like the published ones, by transformers itself."""
    torch.manual_seed(0)
    config = transformers.HubertConfig(**TINY, mask_time_prob=0.33, layerdrop=0.1)
    transformers.HubertModel(config).save_pretrained(tmp_path / "hubert")
    change_config(tmp_path / "hubert", model_type="hubert_ecg", vocab_sizes=[10])
    change_tensors(
        tmp_path / "hubert",
        lambda tensors: (
            tensors
            | {"final_proj.0.weight": torch.zeros(4, 16), "final_proj.0.bias": torch.zeros(4)}
            | {"label_embedding.0.weight": torch.zeros(10, 4)}
        ),
    )
    return str(tmp_path / "hubert")


def change_config(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def change_tensors(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    path = folder / "model.safetensors"
    safetensors.torch.save_file(change(safetensors.torch.load_file(path)), path)


def test_tokens_are_those_of_transformers(weights: str) -> None:
    theirs = transformers.HubertModel.from_pretrained(weights).eval()
    ours = build(**PROBE, weights=weights).encoder.hubert.eval()
    signal = torch.randn(2, 500)
    tokens = ours(signal).last_hidden_state
    assert tokens.shape == (2, 7, 16)
    assert torch.equal(tokens, theirs(signal).last_hidden_state)


@pytest.mark.parametrize(
    ("sizes", "millions"),  # published: 30.5, 93 and 189 with the heads of the pretraining
    [((512, 8, 8, 2048), 30.2), ((768, 12, 12, 3072), 92.8), ((960, 16, 12, 3840), 187.6)],
)
def test_the_published_sizes_can_be_made(sizes: tuple[int, ...], millions: float) -> None:
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    layout = {"conv_dim": [512] * 5, **CONVOLUTIONS, **dict(zip(names, sizes, strict=True))}
    hubert, _ = hubert_model(layout, Path("config.json"), dropout=0.1)
    count = sum(p.numel() for p in hubert.parameters())
    assert round(count / 1e6, 1) == millions
    assert not list(hubert.buffers())


@pytest.mark.parametrize("n_samples", [200, 1250, 2500, 3000])
@pytest.mark.parametrize("leads", [1, 12])
def test_each_five_samples_of_each_lead_get_logits(
    n_samples: int, leads: int, weights: str
) -> None:
    network = build(**PROBE, weights=weights)
    output = network(torch.randn(2, leads, n_samples), LEADS[:leads].expand(2, -1))
    assert output.logits.shape == (2, leads, n_samples // 5, 4)
    assert output.logits.isfinite().all()
    assert output.offsets is None


def test_leads_do_not_influence_each_other(weights: str) -> None:
    network = build(**PROBE, weights=weights).eval()
    signal = torch.randn(2, 3, 2500)
    together = network(signal, LEADS[:3].expand(2, -1)).logits
    alone = network(signal[1:, 2:], LEADS[None, 2:3]).logits
    torch.testing.assert_close(together[1:, 2:], alone, rtol=1e-4, atol=1e-5)


def test_offset_and_scale_of_the_signal_do_not_matter(weights: str) -> None:
    network = build(**PROBE, weights=weights).eval()
    signal = torch.randn(1, 2, 2500)
    logits = network(signal, LEADS[None, :2]).logits
    other = network(5 * signal + 3, LEADS[None, :2]).logits
    torch.testing.assert_close(other, logits, rtol=0, atol=1e-3)


class TokenMeans(nn.Module):
    """Has the mean of what a token sees as its feature, so that a ramp shows where a token is."""

    def forward(self, pieces: Tensor) -> SimpleNamespace:
        width, step = token_grid(**grid())
        seen = pieces.unfold(1, width, step)
        return SimpleNamespace(last_hidden_state=seen.mean(dim=2)[..., None])


def grid() -> dict[str, list[int]]:
    return {"kernels": CONVOLUTIONS["conv_kernel"], "strides": CONVOLUTIONS["conv_stride"]}


@pytest.mark.parametrize("n_samples", [1250, 2500, 3750])
def test_features_are_at_the_time_of_their_label(n_samples: int) -> None:
    encoder = HubertEncoder(TokenMeans(), CONVOLUTIONS)
    ramp = torch.arange(float(n_samples)).expand(1, 1, -1)
    features = encoder(ramp, torch.zeros(1, 1, dtype=torch.int64))[0, 0, :, 0]
    middles = torch.arange(n_samples // 5) * 5.0 + 2
    first, last = 2.5 * 40.5, n_samples - 2.5 * (500 - 40.5 - 6 * 64)
    inside = (middles >= first) & (middles <= last)
    assert inside.sum() > 0.75 * len(middles)
    torch.testing.assert_close(features[inside], middles[inside], rtol=0, atol=0.2)


def test_a_token_sees_what_the_convolutions_see() -> None:
    signal = torch.randn(1, 1, 500, requires_grad=True)
    x = signal
    for kernel, stride in zip(*grid().values(), strict=True):
        x = functional.conv1d(x, torch.ones(1, 1, kernel), stride=stride)
    assert x.shape[2] == 7
    (grad,) = torch.autograd.grad(x[0, 0, 3], signal)
    seen = grad[0, 0].nonzero().flatten()
    width, step = token_grid(**grid())
    assert (seen.min(), seen.max()) == (3 * step, 3 * step + width - 1)


def test_resampling_is_that_of_scipy_away_from_the_ends() -> None:
    signal = torch.randn(3, 2500)
    ours = resample(signal, polyphase_taps()).numpy()
    theirs = resample_poly(signal.numpy(), 2, 5, axis=1)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours[:, 15:-15], theirs[:, 15:-15], atol=5e-3)


@pytest.mark.parametrize("frequency_hz", [0.0, 1.0, 10.0, 35.0])
def test_resampling_moves_nothing_in_time(frequency_hz: float) -> None:
    def wave(fs_hz: int) -> Tensor:
        time_s = torch.arange(10 * fs_hz, dtype=torch.float64) / fs_hz
        return torch.cos(2 * torch.pi * frequency_hz * time_s + 0.3)[None].float()

    resampled = resample(wave(250), polyphase_taps())
    assert resampled.shape == (1, 1000)
    ends = slice(0, 1000) if frequency_hz == 0 else slice(15, -15)
    torch.testing.assert_close(resampled[:, ends], wave(100)[:, ends], rtol=0, atol=2e-3)


def test_resampling_takes_away_what_100_hz_cannot_hold() -> None:
    time_s = torch.arange(2500) / 250
    hum = torch.sin(2 * torch.pi * 75 * time_s)[None]
    assert resample(hum, polyphase_taps())[:, 15:-15].abs().max() < 0.01


def test_a_linear_probe_trains_the_head_and_leaves_the_encoder(weights: str) -> None:
    network = build(**(PROBE | {"weights": weights, "dropout": 0.1}))
    encoder = {name: value.clone() for name, value in network.encoder.state_dict().items()}
    head = network.head.weight.detach().clone()
    assert [group["lr"] for group in network.parameter_groups(1e-3)] == [1e-3]
    losses = learn(network, toy_strips(leads=1), steps=30)
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
    losses = learn(network, toy_strips(leads=1), steps=15)
    assert losses[-1] < 0.7 * GUESSED
    same = {name for name, value in network.named_parameters() if torch.equal(value, before[name])}
    assert not same
    assert all(module.training for module in network.modules())


def test_equal_seeds_give_equal_weights_whatever_numpy_draws(weights: str) -> None:
    torch.use_deterministic_algorithms(True)
    try:
        runs = []
        for _ in range(2):
            np.random.seed(len(runs))  # noqa: NPY002, as transformers does
            torch.manual_seed(0)
            network = build(**(TUNED | {"weights": weights, "dropout": 0.2}))
            learn(network, toy_strips(leads=1), steps=3)
            runs.append(network.state_dict())
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(value, runs[1][name]) for name, value in runs[0].items())


def test_a_checkpoint_does_without_the_pretrained_files(weights: str) -> None:
    model = PROBE | {"weights": weights}
    network = build(**model).eval()
    layout = json.loads(json.dumps(network.layout))
    with torch.device("meta"):
        again = build(**(model | {"layout": layout, "weights": "lost"}))
    again.load_state_dict(network.state_dict(), assign=True)
    signal = torch.randn(1, 1, 2500)
    assert torch.equal(
        again.eval()(signal, LEADS[None, :1]).logits, network(signal, LEADS[None, :1]).logits
    )


def test_it_computes_in_bfloat16_but_resamples_in_full(weights: str) -> None:
    network = build(**TUNED, weights=weights)
    signal = torch.randn(1, 2, 2500)
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(signal, LEADS[None, :2]).logits
        resampled = resample(signal[0], polyphase_taps())
    assert torch.equal(resampled, resample(signal[0], polyphase_taps()))
    assert logits.dtype == torch.bfloat16
    logits.float().square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("old", [True, False])
def test_a_file_of_torch_and_old_names_give_the_same_encoder(old: bool, weights: str) -> None:
    first = build(**PROBE, weights=weights).encoder.state_dict()
    path = Path(weights) / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    path.unlink()
    conv = "encoder.pos_conv_embed.conv."
    if old:
        for new, name in (("original0", "weight_g"), ("original1", "weight_v")):
            tensors[conv + name] = tensors.pop(f"{conv}parametrizations.weight.{new}")
    torch.save(tensors, path.with_name("pytorch_model.bin"))
    again = build(**PROBE, weights=weights).encoder.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in first.items())


def test_a_foreign_or_incomplete_folder_is_refused(weights: str) -> None:
    folder = Path(weights)
    config, model = folder / "config.json", folder / "model.safetensors"
    good_config, good_model = config.read_text(), model.read_bytes()

    def refused(words: str, path: Path) -> None:
        with pytest.raises(ConfigError, match=words) as caught:
            build(**PROBE, weights=weights)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)
        config.write_text(good_config)
        model.write_bytes(good_model)

    config.unlink()
    refused("No such file or directory; model.weights is a folder with config.json and", config)
    config.write_text("{")
    refused("not JSON", config)
    config.write_text("[]")
    refused("model_type 'list'; allowed: hubert_ecg, hubert", config)
    change_config(folder, model_type="wav2vec2")
    refused("model_type 'wav2vec2'; allowed: hubert_ecg, hubert", config)
    change_config(folder, hidden_size="many")
    refused("not a HuBERT: .*hidden_size", config)
    change_config(folder, conv_stride=[1])
    refused("not a HuBERT: .*conv_stride", config)
    change_config(folder, hidden_act="none")
    refused("not a HuBERT: KeyError, 'none'", config)
    change_config(folder, num_hidden_layers=3)
    refused(r"does not fit HubertModel; missing: encoder.layers.2.\S+, .* and 13 more", model)
    change_config(folder, num_hidden_layers=1)
    refused(r"unexpected: encoder.layers.1.\S+, .* and 13 more", model)
    change_config(folder, intermediate_size=48)
    refused(r"of another shape: \S+dense\.\w+ \(24,? ?\S* instead of \(48", model)
    model.write_bytes(good_model[:-1])
    refused("damaged or no .safetensors file", model)
    model.unlink()
    refused("no weights; wanted: model.safetensors or pytorch_model.bin", folder)


def test_without_the_package_it_says_how_to_get_it(
    weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"needs the package transformers.*\.\[ssl\]"):
        build(**PROBE, weights=weights)
