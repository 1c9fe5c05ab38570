"""The convolution and Transformer frame classifier of functional spec 5.1."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from openecg.errors import ConfigError

N_CLASSES = 4
N_LEADS = 12
STEM_CHANNELS = 32
SAMPLES_PER_FRAME = 5
KEYS = frozenset(
    {"architecture", "d_model", "layers", "heads", "feed_forward", "dropout", "lead_embedding"}
)


class EncoderLayer(nn.Module):
    """A pre-norm Transformer encoder layer; like torch's own but for the attention weights.

    Those are not dropped out, because the CPU has a kernel for attention without dropout only:
    with it a training step takes five times as long. It is also a tenth faster than torch's, whose
    queries, keys and values are copied, and in evaluation it has one way to compute, not two.
    """

    def __init__(self, d_model: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(d_model)
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.attention_out = nn.Linear(d_model, d_model)
        self.feed_forward_norm = nn.LayerNorm(d_model)
        self.feed_forward_in = nn.Linear(d_model, feed_forward)
        self.feed_forward_out = nn.Linear(feed_forward, d_model)
        self.dropout = nn.Dropout(dropout)
        # As torch.nn.MultiheadAttention starts.
        nn.init.xavier_uniform_(self.qkv.weight)
        nn.init.zeros_(self.qkv.bias)
        nn.init.zeros_(self.attention_out.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, T, d] to [B, T, d]."""
        batch, frames, width = x.shape
        qkv = self.qkv(self.attention_norm(x))  # [B, T, 3 d]
        q, k, v = qkv.view(batch, frames, 3, self.heads, -1).permute(
            2, 0, 3, 1, 4
        )  # [B, h, T, d/h]
        seen = functional.scaled_dot_product_attention(q, k, v)  # [B, h, T, d/h]
        seen = seen.transpose(1, 2).reshape(batch, frames, width)  # [B, T, d]
        x = x + self.dropout(self.attention_out(seen))
        inner = functional.gelu(self.feed_forward_in(self.feed_forward_norm(x)))  # [B, T, ff]
        out: Tensor = x + self.dropout(self.feed_forward_out(self.dropout(inner)))
        return out


class ConvTransformer(nn.Module):
    """Classify each frame of five samples; there is no positional encoding and no final norm.

    Parameters
    ----------
    d_model, layers, heads, feed_forward : int
        Channels, encoder layers, attention heads, width of the feed-forward part.
    dropout : float
        Probability, in the encoder.
    lead_embedding : bool
        Whether a learnt vector per lead is added to each frame.
    """

    def __init__(
        self,
        *,
        d_model: int,
        layers: int,
        heads: int,
        feed_forward: int,
        dropout: float,
        lead_embedding: bool,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv1d(1, STEM_CHANNELS, 15, stride=SAMPLES_PER_FRAME, padding=7),
            nn.GELU(),
            nn.Conv1d(STEM_CHANNELS, d_model, 5, padding=2),
            nn.GELU(),
        )
        self.lead = nn.Embedding(N_LEADS, d_model) if lead_embedding else None
        if self.lead is not None:
            nn.init.normal_(self.lead.weight, std=0.02)
        self.encoder = nn.Sequential(
            *(EncoderLayer(d_model, heads, feed_forward, dropout) for _ in range(layers))
        )
        self.head = nn.Linear(d_model, N_CLASSES)

    def forward(self, signal: Tensor, lead_index: Tensor) -> Tensor:
        """Map windows to logits.

        Parameters
        ----------
        signal : Tensor of shape (B, n_samples), dtype float32
            Each window with mean 0 and standard deviation 1; 2500 samples give 500 frames.
        lead_index : Tensor of shape (B,), dtype int64
            0 to 11.

        Returns
        -------
        Tensor of shape (B, n_samples / 5, 4)
            Logits of other, P, QRS, T.
        """
        x = self.stem(signal[:, None]).transpose(1, 2)  # [B, 1, 2500] -> [B, d, 500] -> [B, 500, d]
        if self.lead is not None:
            x = x + self.lead(lead_index)[:, None]  # [B, 1, d]
        logits: Tensor = self.head(self.encoder(x))  # [B, 500, 4]
        return logits


def build(model: Mapping[str, Any]) -> nn.Module:
    """Make the network of a setting, with weights drawn from torch's global generator.

    Parameters
    ----------
    model : mapping
        The entry ``model`` of a setting.

    Raises
    ------
    ConfigError
        If a key is missing or unknown, or the channels do not divide by the heads.
    """
    for key in sorted(KEYS ^ set(model)):
        problem = "missing" if key in KEYS else "unknown"
        raise ConfigError(f"setting, model: {problem} key {key!r}; keys: {', '.join(sorted(KEYS))}")
    if model["d_model"] % model["heads"]:
        raise ConfigError(
            f"setting, model.d_model: {model['d_model']} channels do not divide by "
            f"{model['heads']} heads"
        )
    return ConvTransformer(**{key: value for key, value in model.items() if key != "architecture"})
