"""HuBERT-ECG (Coppola et al. 2024, doi:10.1101/2024.11.14.24317328) as an encoder.

It takes 100 Hz and was pretrained on the twelve leads of 5 s one after another. Here each lead is
encoded by itself, as openecg did (functional spec 5.5). One token stands for 0.64 s, so all detail
within a beat has to come from the interpolation between tokens; openecg measured an F1 of 0.02.

The weights (https://huggingface.co/Edoardo-BS, CC BY-NC 4.0) are a folder with ``config.json`` and
``model.safetensors`` or ``pytorch_model.bin``.
"""

import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.signal import firwin
from torch import Tensor, nn
from torch.nn import functional

from openecg.errors import ConfigError
from openecg.stage2.network import Network
from openecg.stage2.pretrained import (
    PretrainedClassifier,
    interpolation,
    label_centres,
    load_exactly,
    read_weights,
)

UP, DOWN = 2, 5  # 250 Hz to 100 Hz
PIECE = 500  # samples at 100 Hz: the 5 s of the pretraining
CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
MODEL_TYPES = ("hubert_ecg", "hubert")
# What in config.json decides tensors and forward pass; the rest is about training and speech.
SHAPES = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "layer_norm_eps",
    "feat_proj_layer_norm",
    "feat_extract_norm",
    "feat_extract_activation",
    "conv_dim",
    "conv_stride",
    "conv_kernel",
    "conv_bias",
    "num_conv_pos_embeddings",
    "num_conv_pos_embedding_groups",
    "conv_pos_batch_norm",
    "do_stable_layer_norm",
)
# Used by the pretraining task only.
PRETRAINING = ("final_proj.", "label_embedding.", "masked_spec_embed")
# Weight normalisation before and after torch 2.1 called its two parts so.
RENAMED = {
    "conv.weight_g": "conv.parametrizations.weight.original0",
    "conv.weight_v": "conv.parametrizations.weight.original1",
}


class HubertEncoder(nn.Module):
    """Features of each label of each lead by itself.

    A window is brought to 100 Hz, cut into pieces of 5 s, of which the last may be filled up with
    its last sample, and encoded. The tokens of all pieces in a row are interpolated linearly to
    the labels, by the middles of both. The first layer of the published models normalises each
    channel over its piece, so offset and scale of the signal do not matter.

    Parameters
    ----------
    hubert : nn.Module
        A ``HubertModel`` of transformers.
    layout : mapping
        Its configuration.
    """

    taps: Tensor

    def __init__(self, hubert: nn.Module, layout: Mapping[str, Any]) -> None:
        super().__init__()
        self.hubert = hubert
        self.width, self.step = token_grid(layout["conv_kernel"], layout["conv_stride"])
        self.register_buffer("taps", polyphase_taps())

    def forward(self, signal: Tensor, lead_index: Tensor) -> Tensor:
        """Map (B, L, n_samples) at 250 Hz to (B, L, n_samples / 5, hidden_size)."""
        resampled = resample(signal.flatten(0, 1), self.taps)  # [B L, n]
        filled = functional.pad(
            resampled[:, None], (0, -resampled.shape[1] % PIECE), mode="replicate"
        )
        pieces = filled.view(len(resampled), -1, PIECE)  # [B L, W, 500]
        tokens = self.hubert(pieces.flatten(0, 1)).last_hidden_state  # [B L W, T, d]
        place = torch.arange(tokens.shape[1], device=signal.device) * self.step
        start = torch.arange(pieces.shape[1], device=signal.device)[:, None] * PIECE
        known = (start + place + (self.width - 1) / 2).flatten()  # [W T], samples at 100 Hz
        wanted = label_centres(signal.shape[2], signal.device) * (UP / DOWN)
        tokens = tokens.reshape(len(resampled), len(known), -1)  # [B L, W T, d]
        features: Tensor = interpolation(known, wanted) @ tokens  # [B L, labels, d]
        return features.view(*lead_index.shape, len(wanted), -1)


def build(
    *,
    weights: str,
    mode: str,
    dropout: float,
    encoder_learning_rate: float | None,
    layout: Mapping[str, Any] | None = None,
) -> Network:
    """Make the network of a setting; its encoder comes from files, its head from chance.

    Parameters
    ----------
    weights : str
        Folder with ``config.json`` and the tensors.
    mode : str
        ``linear_probe`` or ``fine_tune``.
    dropout : float
        Probability, before the head and in an encoder that is fine-tuned.
    encoder_learning_rate : float, optional
        Peak rate of the encoder; needed by ``fine_tune``, and by that only.
    layout : mapping, optional
        Attribute of a network made before. With it the files are not needed, and the encoder has no
        values until those of a checkpoint are assigned.

    Raises
    ------
    ConfigError
        If ``mode`` and rate do not fit, transformers is not installed, or the files are missing,
        damaged or of another model.
    """
    folder = Path(weights)
    shapes = read_config(folder / CONFIG) if layout is None else layout
    hubert, shapes = hubert_model(shapes, folder / CONFIG, dropout=dropout)
    if layout is None:
        path = next((folder / name for name in WEIGHTS if (folder / name).exists()), None)
        if path is None:
            raise ConfigError(f"{folder}: no weights; wanted: {' or '.join(WEIGHTS)}")
        load_exactly(hubert, encoder_weights(read_weights(path)), path)
    return PretrainedClassifier(
        HubertEncoder(hubert, shapes),
        width=shapes["hidden_size"],
        layout=shapes,
        mode=mode,
        dropout=dropout,
        encoder_learning_rate=encoder_learning_rate,
    )


def read_config(path: Path) -> dict[str, Any]:
    """Read what ``config.json`` says of the shapes of a HuBERT.

    Raises
    ------
    ConfigError
        If the file is missing, not JSON, or of another kind of model.
    """
    try:
        values = json.loads(path.read_text())
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}; model.weights is a folder with {CONFIG} and "
            f"{' or '.join(WEIGHTS)}"
        ) from error
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON: {error}") from error
    kind = values.get("model_type") if isinstance(values, dict) else type(values).__name__
    if kind not in MODEL_TYPES:
        raise ConfigError(f"{path}: model_type {kind!r}; allowed: {', '.join(MODEL_TYPES)}")
    return {key: values[key] for key in SHAPES if key in values}


def hubert_model(
    wanted: Mapping[str, Any], path: Path, *, dropout: float
) -> tuple[nn.Module, dict[str, Any]]:
    """Make a HuBERT on the meta device, that is without values.

    Neither whole layers nor spans of tokens are dropped in training: the latter are drawn from
    numpy, so that equal seeds would not give equal bytes.

    Parameters
    ----------
    wanted : mapping
        Keys of `SHAPES`; those not given are as transformers has them.
    path : Path
        Where they come from, for the message.
    dropout : float
        Probability, but for the attention weights, as in the other architectures.

    Returns
    -------
    hubert : nn.Module
        A ``HubertModel``.
    layout : dict
        All keys of `SHAPES`, with JSON values.

    Raises
    ------
    ConfigError
        If transformers is not installed, or cannot make a HuBERT of ``wanted``.
    """
    try:
        transformers: Any = importlib.import_module("transformers")
    except ImportError as error:
        raise ConfigError(
            "setting, model.architecture: 'hubert_ecg' needs the package transformers, which is "
            "not installed; pip install -c constraints.txt -e '.[ssl]' does it"
        ) from error
    try:
        config = transformers.HubertConfig(
            **wanted,
            hidden_dropout=dropout,
            activation_dropout=dropout,
            attention_dropout=0.0,
            feat_proj_dropout=0.0,
            layerdrop=0.0,
            apply_spec_augment=False,
            mask_time_prob=0.0,
            mask_feature_prob=0.0,
        )
        with torch.device("meta"):
            hubert = transformers.HubertModel(config)
    except Exception as error:  # transformers and torch have many for values that do not fit
        problem = " ".join(str(error).split())
        raise ConfigError(f"{path}: not a HuBERT: {type(error).__name__}, {problem}") from error
    values = {key: getattr(config, key) for key in SHAPES}
    return hubert, {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def encoder_weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out what belongs to the pretraining task, and bring old names to the present ones."""
    kept = {name: t for name, t in tensors.items() if not name.startswith(PRETRAINING)}
    for old, new in RENAMED.items():
        kept = {name.replace(old, new): tensor for name, tensor in kept.items()}
    return kept


def token_grid(kernels: Sequence[int], strides: Sequence[int]) -> tuple[int, int]:
    """Return how many samples a token of stacked convolutions sees, and the step between tokens."""
    width, step = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        width += (kernel - 1) * step
        step *= stride
    return width, step


def polyphase_taps() -> Tensor:
    """Design the low-pass of `resample`.

    As in ``scipy.signal.resample_poly``: a Kaiser window with beta 5 and ten times the larger
    factor to each side, here 101 taps at 500 Hz, cut off at 50 Hz. Tap 50 + 5 p - 2 d weighs sample
    d of the 250 Hz for output p of every two. Each output's taps sum to 1.

    Returns
    -------
    Tensor of shape (2, 1, 53), dtype float32
        For samples -25 to 27 around every fifth.
    """
    half = 10 * DOWN
    taps = firwin(2 * half + 1, 1 / DOWN, window=("kaiser", 5.0))
    wanted = half + DOWN * np.arange(UP)[:, None] - UP * np.arange(-25, 28)
    weights = np.where(
        (wanted >= 0) & (wanted <= 2 * half), taps[np.clip(wanted, 0, 2 * half)], 0.0
    )
    weights /= weights.sum(axis=1, keepdims=True)
    return torch.from_numpy(weights[:, None].astype(np.float32))


def resample(signal: Tensor, taps: Tensor) -> Tensor:
    """Bring signals from 250 to 100 Hz; output sample k is at the time of input sample 2.5 k.

    Parameters
    ----------
    signal : Tensor of shape (N, n), dtype float32
        ``n`` a multiple of 5. Beyond its ends a signal stays as it is there.
    taps : Tensor of shape (2, 1, 53), dtype float32
        Of `polyphase_taps`.

    Returns
    -------
    Tensor of shape (N, 2 n / 5), dtype float32
        In full precision under autocast, too.
    """
    with torch.autocast(signal.device.type, enabled=False):
        padded = functional.pad(signal[:, None], (25, 27), mode="replicate")
        pairs = functional.conv1d(padded, taps, stride=DOWN)  # [N, 2, n / 5]
    return pairs.transpose(1, 2).flatten(1)
