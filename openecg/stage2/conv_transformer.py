"""The convolution and Transformer frame classifier of functional spec 5.1."""

from torch import Tensor, nn

from openecg.stage2.encoder import encoder
from openecg.stage2.network import N_CLASSES, N_LEADS, Network, Output

STEM_CHANNELS = 32


class ConvTransformer(Network):
    """Classify each frame of five samples, lead by lead.

    There is no positional encoding and no final norm.

    Parameters
    ----------
    d_model, layers, heads, feed_forward : int
        Channels, encoder layers, attention heads, width of the feed-forward part.
    dropout : float
        Probability, in the encoder.
    lead_embedding : bool
        Whether a learnt vector per lead is added to each frame.
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
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv1d(1, STEM_CHANNELS, 15, stride=self.samples_per_label, padding=7),
            nn.GELU(),
            nn.Conv1d(STEM_CHANNELS, d_model, 5, padding=2),
            nn.GELU(),
        )
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

    def forward(self, signal: Tensor, lead_index: Tensor) -> Output:
        """Map strips to logits.

        Parameters
        ----------
        signal : Tensor of shape (B, L, n_samples), dtype float32
            Each lead with mean 0 and standard deviation 1; 2500 samples give 500 frames.
        lead_index : Tensor of shape (B, L), dtype int64
            0 to 11.

        Returns
        -------
        Output
            With one label per five samples, and no offsets.
        """
        x = self.stem(signal.flatten(0, 1)[:, None]).transpose(1, 2)  # [B L, T, d]
        if self.lead is not None:
            x = x + self.lead(lead_index.flatten())[:, None].to(x.dtype)  # [B L, 1, d]
        logits: Tensor = self.head(self.encoder(x))  # [B L, T, 4]
        return Output(logits.view(*lead_index.shape, *logits.shape[1:]))


build = ConvTransformer
