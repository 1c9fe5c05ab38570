"""What every network gives back."""

from typing import NamedTuple

from torch import Tensor


class Output(NamedTuple):
    """Result of a network on B items of L leads, in T labels of equal length.

    Attributes
    ----------
    logits : Tensor of shape (B, L, T, 4)
        Of other, P, QRS, T.
    offsets : Tensor of shape (B, L, T, 6), or None
        Distance in samples from the start of a label to the nearest boundary of each kind, in the
        order of ``openecg.waves.BOUNDARIES``; None if the network does not regress boundaries.
    """

    logits: Tensor
    offsets: Tensor | None = None
