"""A one-dimensional U-Net with a label per sample; its leads may look at each other."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from openecg.stage2.encoder import encoder, sinusoids
from openecg.stage2.network import N_BOUNDARIES, N_CLASSES, Network, Output


class Block(nn.Module):
    """Two convolutions with batch norm, and between leads an exchange of mean and maximum."""

    def __init__(
        self, n_in: int, n_out: int, *, kernel: int, dropout: float, exchange: bool
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(n_in, n_out, kernel, padding=kernel // 2, bias=False),
            nn.BatchNorm1d(n_out),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Conv1d(n_out, n_out, kernel, padding=kernel // 2, bias=False),
            nn.BatchNorm1d(n_out),
            nn.ReLU(),
        )
        # A lead by itself is its own mean and maximum, so one lead and twelve share all weights.
        self.exchange = nn.Conv1d(2 * n_out, n_out, 1) if exchange else None

    def forward(self, x: Tensor, n_leads: int) -> Tensor:
        """Map [B L, c, T] to [B L, c', T]."""
        x = self.layers(x)
        if self.exchange is None:
            return x
        leads = x.view(-1, n_leads, *x.shape[1:])  # [B, L, c, T]
        pooled = torch.cat([leads.mean(dim=1), leads.amax(dim=1)], dim=1)  # [B, 2 c, T]
        shared: Tensor = self.exchange(pooled)  # [B, c, T]
        return functional.relu(leads + shared[:, None]).flatten(0, 1)


class UNet(Network):
    """Label each sample from convolutions at several scales.

    Parameters
    ----------
    channels : sequence of int
        Of each level; every level but the first has half the rate of the one above.
    kernel : int
        Samples of each convolution; odd.
    dropout : float
        Probability, between the convolutions and in the attention.
    exchange : bool
        Whether the leads of an item exchange their mean and maximum at each level. The result does
        not depend on the order of the leads, and a copy of a lead adds nothing to the maximum.
    attention_layers, heads : int
        Transformer layers at the lowest rate, over the whole strip, and their attention heads;
        0 layers: none.
    offsets : bool
        Whether a second head regresses the distance to the boundaries.
    """

    samples_per_label = 1

    def __init__(
        self,
        *,
        channels: Sequence[int],
        kernel: int,
        dropout: float,
        exchange: bool,
        attention_layers: int,
        heads: int,
        offsets: bool,
    ) -> None:
        super().__init__()
        block = partial(Block, kernel=kernel, dropout=dropout, exchange=exchange)
        pairs = list(zip([1, *channels], channels, strict=False))
        self.down = nn.ModuleList(block(a, b) for a, b in pairs)
        self.up = nn.ModuleList(
            block(b + a, a) for a, b in zip(channels[-2::-1], channels[:0:-1], strict=True)
        )
        self.attention = None
        if attention_layers:
            self.attention = encoder(
                d_model=channels[-1],
                layers=attention_layers,
                heads=heads,
                feed_forward=2 * channels[-1],
                dropout=dropout,
            )
        self.head = nn.Conv1d(channels[0], N_CLASSES, 1)
        self.offsets = nn.Conv1d(channels[0], N_BOUNDARIES, 1) if offsets else None

    def forward(self, signal: Tensor, lead_index: Tensor) -> Output:
        """Map strips to logits.

        Parameters
        ----------
        signal : Tensor of shape (B, L, n_samples), dtype float32
            Each lead with mean 0 and standard deviation 1.
        lead_index : Tensor of shape (B, L), dtype int64
            Not looked at: leads may come in any order.

        Returns
        -------
        Output
            With one label per sample.
        """
        n_leads, n_samples = signal.shape[1:]
        x = signal.flatten(0, 1)[:, None]  # [B L, 1, n]
        step = 2 ** (len(self.down) - 1)
        x = functional.pad(x, (0, -n_samples % step), mode="replicate")
        passed = []
        for level, block in enumerate(self.down):
            x = block(functional.max_pool1d(x, 2) if level else x, n_leads)
            passed.append(x)
        if self.attention is not None:
            tokens = x.transpose(1, 2)  # [B L, T, c]
            places = sinusoids(tokens.shape[1], tokens.shape[2]).to(tokens)
            tokens = self.attention(tokens + places)
            x = tokens.transpose(1, 2)
        for block, beside in zip(self.up, passed[-2::-1], strict=True):
            x = block(torch.cat([functional.interpolate(x, scale_factor=2.0), beside], 1), n_leads)
        x = x[..., :n_samples]

        def labelled(head: nn.Module) -> Tensor:
            labels: Tensor = head(x).transpose(1, 2)  # [B L, T, c]
            return labels.reshape(*lead_index.shape, *labels.shape[1:])

        return Output(labelled(self.head), None if self.offsets is None else labelled(self.offsets))


build = UNet
