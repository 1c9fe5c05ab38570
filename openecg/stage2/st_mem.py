"""ST-MEM (Na et al., ICLR 2024, https://openreview.net/forum?id=WcOohbsF4H) as an encoder.

A vision Transformer over patches of 75 samples at 250 Hz; those of all leads attend to each other.
A token stands for 0.3 s, so detail within a wave has to come from the interpolation between tokens.

The weights (https://github.com/bakqui/ST-MEM, "Encoder", ViT-B/75, under its own licence) are one
file of ``torch.save``, or the same tensors as safetensors.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from openecg.errors import ConfigError
from openecg.stage2.encoder import EncoderLayer
from openecg.stage2.network import N_LEADS, Network
from openecg.stage2.pretrained import (
    PretrainedClassifier,
    interpolation,
    label_centres,
    load_exactly,
    read_weights,
)

PATCH = 75  # samples
PATCHES = 30  # of a window in the pretraining, 9 s
HEAD_WIDTH = 64
INSIDE = "model"  # where the published file keeps the tensors, beside epoch and config
LAYER_NAMES = {
    "attention_norm": "attn.norm",
    "qkv": "attn.fn.to_qkv",
    "attention_out": "attn.fn.to_out.0",
    "feed_forward_norm": "ff.norm",
    "feed_forward_in": "ff.fn.net.0",
    "feed_forward_out": "ff.fn.net.3",
}
POSITIONS = "pos_embedding"
FEED_FORWARD = "block0.ff.fn.net.0.weight"


class StMemEncoder(nn.Module):
    """Features of each label of each lead, from all leads together.

    A window longer than the 2250 samples of the pretraining is encoded in as few windows of that
    length as cover it, evenly spread; 2500 samples in two, which share 8 s. So every patch has a
    position that the pretraining knew. A label takes its features from all windows over it, in
    proportion to its distance from the first or last patch of each. A shorter window is filled up
    with its last sample to whole patches.

    As in the pretraining each token passes the final norm; the published classifier averages
    before it. A patch is normalised first of all, so offset and scale of the signal do not matter.

    Parameters
    ----------
    width, layers, feed_forward : int
        Channels, a multiple of 64; encoder layers; width of the feed-forward part.
    dropout : float
        Probability.
    """

    def __init__(self, *, width: int, layers: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.to_patch_embedding = nn.Sequential(
            nn.Unflatten(2, (-1, PATCH)),
            nn.LayerNorm(PATCH),
            nn.Linear(PATCH, width),
            nn.LayerNorm(width),
        )
        self.pos_embedding = nn.Parameter(torch.empty(1, PATCHES + 2, width))
        self.sep_embedding = nn.Parameter(torch.empty(width))
        self.lead_embeddings = nn.ParameterList(torch.empty(width) for _ in range(N_LEADS))
        self.blocks = nn.ModuleList(
            EncoderLayer(width, width // HEAD_WIDTH, feed_forward, dropout) for _ in range(layers)
        )
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, signal: Tensor, lead_index: Tensor) -> Tensor:
        """Map (B, L, n_samples) at 250 Hz to (B, L, n_samples / 5, width)."""
        n_samples = signal.shape[2]
        starts, n_patches = windows_over(n_samples)
        if n_samples < n_patches * PATCH:
            signal = functional.pad(signal, (0, n_patches * PATCH - n_samples), mode="replicate")
        windows = torch.stack([signal[..., s : s + n_patches * PATCH] for s in starts], dim=1)
        leads = lead_index[:, None].expand(-1, len(starts), -1)  # [B, W, L]
        tokens = self.tokens(windows.flatten(0, 1), leads.flatten(0, 1))  # [B W, L, P, d]
        shares = label_shares(starts, n_patches, label_centres(n_samples, signal.device))
        tokens = tokens.view(len(signal), len(starts), *tokens.shape[1:])  # [B, W, L, P, d]
        features: Tensor = shares @ tokens.transpose(1, 2).flatten(2, 3)
        return features

    def tokens(self, windows: Tensor, lead_index: Tensor) -> Tensor:
        """Encode the patches of windows.

        Parameters
        ----------
        windows : Tensor of shape (N, L, 75 P), dtype float32
            P at most 30.
        lead_index : Tensor of shape (N, L), dtype int64
            0 to 11.

        Returns
        -------
        Tensor of shape (N, L, P, width)
        """
        x = self.to_patch_embedding(windows)  # [N, L, P, d]
        x = x + self.pos_embedding[:, 1 : x.shape[2] + 1]
        left, right = (
            (self.sep_embedding + self.pos_embedding[0, end]).expand(*x.shape[:2], 1, -1)
            for end in (0, -1)
        )
        x = torch.cat([left, x, right], dim=2)  # [N, L, P + 2, d]
        leads = functional.embedding(lead_index, torch.stack(list(self.lead_embeddings)))
        x = self.dropout(x + leads[:, :, None])
        shape = x.shape
        x = x.flatten(1, 2)  # [N, L (P + 2), d]
        for block in self.blocks:
            x = block(x)
        normed: Tensor = self.norm(x)
        return normed.view(shape)[:, :, 1:-1]


def build(
    *,
    weights: str,
    mode: str,
    dropout: float,
    encoder_learning_rate: float | None,
    layout: Mapping[str, Any] | None = None,
) -> Network:
    """Make the network of a setting; its encoder comes from a file, its head from chance.

    Parameters
    ----------
    weights : str
        File with the tensors.
    mode : str
        ``linear_probe`` or ``fine_tune``.
    dropout : float
        Probability, before the head and in an encoder that is fine-tuned.
    encoder_learning_rate : float, optional
        Peak rate of the encoder; needed by ``fine_tune``, and by that only.
    layout : mapping, optional
        Attribute of a network made before. With it the file is not needed, and the encoder has no
        values until those of a checkpoint are assigned.

    Raises
    ------
    ConfigError
        If ``mode`` and rate do not fit, or the file is missing, damaged or of another model.
    """
    path = Path(weights)
    tensors = read_weights(path, inside=INSIDE) if layout is None else {}
    sizes = read_layout(tensors, path) if layout is None else layout
    with torch.device("meta"):
        encoder = StMemEncoder(**sizes, dropout=dropout)
    if layout is None:
        load_exactly(encoder, tensors, path, published=published_name)
    return PretrainedClassifier(
        encoder,
        width=sizes["width"],
        layout=sizes,
        mode=mode,
        dropout=dropout,
        encoder_learning_rate=encoder_learning_rate,
    )


def read_layout(tensors: Mapping[str, Tensor], path: Path) -> dict[str, int]:
    """Take the sizes of an encoder from its tensors; `load_exactly` checks all others.

    Raises
    ------
    ConfigError
        If they are not those of an ST-MEM encoder.
    """
    for name, dimensions in ((POSITIONS, 3), (FEED_FORWARD, 2)):
        if name not in tensors or tensors[name].dim() != dimensions:
            raise ConfigError(
                f"{path}: no ST-MEM encoder; wanted: tensor {name} of {dimensions} dimensions; "
                f"found: {len(tensors)} tensors, first {next(iter(tensors), 'none')}"
            )
    blocks = {name.partition(".")[0] for name in tensors if re.match(r"block\d+\.", name)}
    width = tensors[POSITIONS].shape[2]
    if width < HEAD_WIDTH or width % HEAD_WIDTH:
        raise ConfigError(f"{path}: width {width}; wanted: a multiple of {HEAD_WIDTH}")
    return {
        "width": width,
        "layers": len(blocks),
        "feed_forward": tensors[FEED_FORWARD].shape[0],
    }


def published_name(name: str) -> str:
    """Return what the published file calls a tensor of `StMemEncoder`."""
    parts = name.split(".")
    if parts[0] != "blocks":
        return name
    return f"block{parts[1]}.{LAYER_NAMES[parts[2]]}.{parts[3]}"


def windows_over(n_samples: int) -> tuple[list[int], int]:
    """Return where windows start, in samples, and how many patches each has."""
    longest = PATCH * PATCHES
    if n_samples <= longest:
        return [0], -(-n_samples // PATCH)
    more = -(-n_samples // longest) - 1
    return [round(k * (n_samples - longest) / more) for k in range(more + 1)], PATCHES


def label_shares(starts: list[int], n_patches: int, wanted: Tensor) -> Tensor:
    """Return how much each token of overlapping windows counts for each label.

    Parameters
    ----------
    starts : list of int
        First sample of each window.
    n_patches : int
        Patches of each.
    wanted : Tensor of shape (T,), dtype float32
        Middles of the labels in samples, each in some window.

    Returns
    -------
    Tensor of shape (T, W P), dtype float32
        Each row sums to 1.
    """
    middles = torch.arange(n_patches, device=wanted.device) * PATCH + (PATCH - 1) / 2
    inside = torch.stack([wanted - start for start in starts])  # [W, T]
    depth = torch.minimum(inside - middles[0], middles[-1] - inside)
    deepest = depth.amax(dim=0).clamp(max=0)  # below 0 beyond the first and last of all middles
    trust = (depth - deepest + 1e-3).clamp(min=0)
    trust = trust / trust.sum(dim=0)
    tokens = torch.stack([interpolation(middles, place) for place in inside])  # [W, T, P]
    return (trust[..., None] * tokens).transpose(0, 1).flatten(1)
