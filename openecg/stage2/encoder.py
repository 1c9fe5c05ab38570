"""The Transformer encoder that the networks share."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


class Dropout(nn.Module):
    """Dropout like torch's own, but for where the CPU takes its random numbers from.

    Torch draws a number for each value there, an eighth of a training step. Here torch draws a
    seed, and of numpy's fastest generator each 64 bits decide over four values, each with a
    probability exact to 1 / 65536.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Zero some values and scale the others up, in training only; x is of any shape."""
        if not self.training or not self.p:
            return x
        if x.device.type != "cpu":
            return functional.dropout(x, self.p)
        generator = np.random.SFC64(int(torch.randint(2**63 - 1, ()).item()))
        bits = generator.random_raw(-(-x.numel() // 4)).view(np.int16)
        kept = torch.from_numpy(bits[: x.numel()]).view_as(x) >= round(self.p * 2**16) - 2**15
        return x * torch.where(kept, x.new_tensor(1 / (1 - self.p)), x.new_zeros(()))


class CpuAttention(torch.autograd.Function):
    """Attention on the CPU whose gradient is computed in float32, whatever the format is.

    There torch's kernel for the gradient takes up to 2.6 times as long in bfloat16.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend; each is of shape [B, h, T, d/h]."""
        out, log_sum = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, key, value)
        ctx.save_for_backward(query, key, value, out, log_sum)
        return out  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        """Return the gradients of query, key and value."""
        *tensors, log_sum = ctx.saved_tensors
        query, key, value, out = (tensor.float() for tensor in tensors)
        found = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
            gradients[0].float(), query, key, value, out, log_sum, 0.0, False
        )
        return tuple(gradient.to(tensors[0].dtype) for gradient in found)


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend; each is of shape [B, h, T, d/h]."""
    if query.device.type != "cpu":
        return functional.scaled_dot_product_attention(query, key, value)
    attended: Tensor = CpuAttention.apply(query, key, value)  # type: ignore[no-untyped-call]
    return attended


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
        self.dropout = Dropout(dropout)
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
        seen = attention(q, k, v)  # [B, h, T, d/h]
        seen = seen.transpose(1, 2).reshape(batch, frames, width)  # [B, T, d]
        x = x + self.dropout(self.attention_out(seen))
        inner = functional.gelu(self.feed_forward_in(self.feed_forward_norm(x)))  # [B, T, ff]
        out: Tensor = x + self.dropout(self.feed_forward_out(self.dropout(inner)))
        return out


def encoder(
    *, d_model: int, layers: int, heads: int, feed_forward: int, dropout: float
) -> nn.Module:
    """Stack encoder layers; there is no final norm."""
    return nn.Sequential(
        *(EncoderLayer(d_model, heads, feed_forward, dropout) for _ in range(layers))
    )


def sinusoids(n: int, d_model: int) -> Tensor:
    """Return the fixed positional encoding of Vaswani et al. 2017, section 3.5, shape (n, d)."""
    place = torch.arange(n)[:, None]
    rate = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
    table = torch.zeros(n, d_model)
    table[:, 0::2] = torch.sin(place * rate)
    table[:, 1::2] = torch.cos(place * rate)[:, : d_model // 2]
    return table
