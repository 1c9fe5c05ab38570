"""The Transformer over patches of functional spec 5.2, with the regression head of 5.3."""

import torch
from torch import Tensor, nn

from openecg.stage2.encoder import encoder, sinusoids
from openecg.stage2.network import N_BOUNDARIES, N_CLASSES, N_LEADS, Network, Output

MOST_PATCHES = 512


class PatchTransformer(Network):
    """Classify each patch of five samples, lead by lead.

    Parameters
    ----------
    d_model, layers, heads, feed_forward : int
        Channels, encoder layers, attention heads, width of the feed-forward part.
    dropout : float
        Probability, in the encoder.
    lead_embedding : bool
        Whether a learnt vector per lead is added to each patch.
    positions : str
        ``learnt`` or ``sinusoidal``; either is added to the patches.
    stem : bool
        Whether two convolutions come before the patches.
    offsets : bool
        Whether a second head regresses the distance to the boundaries.
    """

    samples_per_label = 5

    def __init__(
        self,
        *,
        d_model: int,
        layers: int,
        heads: int,
        feed_forward: int,
        dropout: float,
        lead_embedding: bool,
        positions: str,
        stem: bool,
        offsets: bool,
    ) -> None:
        super().__init__()
        self.stem = None
        if stem:
            self.stem = nn.Sequential(
                nn.Conv1d(1, 16, 7, padding=3),
                nn.GELU(),
                nn.Conv1d(16, 32, 5, padding=2),
                nn.GELU(),
            )
        self.patch = nn.Linear(self.samples_per_label * (32 if stem else 1), d_model)
        if positions == "learnt":
            self.positions = nn.Parameter(torch.randn(1, MOST_PATCHES, d_model) * 0.02)
        else:
            self.register_buffer("positions", sinusoids(MOST_PATCHES, d_model)[None])
        self.lead = nn.Embedding(N_LEADS, d_model) if lead_embedding else None
        if self.lead is not None:
            nn.init.normal_(self.lead.weight, std=0.02)
        self.encoder = encoder(
            d_model=d_model,
            layers=layers,
            heads=heads,
            feed_forward=feed_forward,
            dropout=dropout,
        )
        self.head = nn.Linear(d_model, N_CLASSES)
        self.offsets = nn.Linear(d_model, N_BOUNDARIES) if offsets else None

    def forward(self, signal: Tensor, lead_index: Tensor) -> Output:
        """Map strips to logits, and to offsets if it has a head for them.

        Parameters
        ----------
        signal : Tensor of shape (B, L, n_samples), dtype float32
            Each lead with mean 0 and standard deviation 1; at most 2560 samples.
        lead_index : Tensor of shape (B, L), dtype int64
            0 to 11.

        Returns
        -------
        Output
            With one label per five samples.
        """
        x = signal.flatten(0, 1)[:, None]  # [B L, 1, n]
        if self.stem is not None:
            x = self.stem(x)  # [B L, c, n]
        x = x.view(*x.shape[:2], -1, self.samples_per_label)  # [B L, c, T, 5]
        x = self.patch(x.transpose(1, 2).flatten(2))  # [B L, T, d]
        x = x + self.positions[:, : x.shape[1]].to(x.dtype)
        if self.lead is not None:
            x = x + self.lead(lead_index.flatten())[:, None].to(x.dtype)
        x = self.encoder(x)
        x = x.view(*lead_index.shape, *x.shape[1:])  # [B, L, T, d]
        return Output(self.head(x), None if self.offsets is None else self.offsets(x))


build = PatchTransformer
