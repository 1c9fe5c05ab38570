"""What all networks have in common."""

from typing import Any, NamedTuple

from torch import Tensor, nn

from openecg.leads import LEADS
from openecg.waves import BOUNDARIES, KINDS

N_CLASSES = len(KINDS) + 1
N_BOUNDARIES = len(BOUNDARIES)
N_LEADS = len(LEADS)


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


class Network(nn.Module):
    """A network that labels strips: ``network(signal, lead_index)`` gives an `Output`.

    ``signal`` is of shape (B, L, n_samples), dtype float32, each lead with mean 0 and standard
    deviation 1; ``lead_index`` of shape (B, L), dtype int64, 0 to 11.
    """

    samples_per_label: int
    layout: dict[str, Any] | None = None
    """JSON values with which ``build`` makes this network without the files it came from."""

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Give the optimizer what there is to learn, and how fast."""
        learnt = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return [{"params": learnt, "lr": learning_rate}]
