"""What the adapters of pretrained encoders share: their weights, their head and how they train."""

import pickle
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import safetensors.torch
import torch
from torch import Tensor, nn

from openecg.errors import ConfigError
from openecg.stage2.network import N_CLASSES, Network, Output

SAMPLES_PER_LABEL = 5
LINEAR_PROBE = "linear_probe"
FINE_TUNE = "fine_tune"
ENDINGS = (".safetensors", ".bin", ".pt", ".pth")
NAMES_SHOWN = 3


class PretrainedClassifier(Network):
    """A linear head on the features that a pretrained encoder has of each label.

    Parameters
    ----------
    encoder : nn.Module
        Maps a signal (B, L, n_samples) and its leads (B, L) to features (B, L, T, width).
    width : int
        Features per label.
    layout : mapping
        What ``encoder`` was built from, as JSON values that ``build`` takes.
    mode : str
        ``linear_probe``: the encoder is frozen and stays in evaluation mode; or ``fine_tune``.
    dropout : float
        Probability, on the features that the head sees.
    encoder_learning_rate : float, optional
        Peak rate of the encoder, which fine-tuning needs and a linear probe cannot have.

    Attributes
    ----------
    layout : dict
        As given.
    samples_per_label : int
        5, that is 20 ms at 250 Hz.

    Raises
    ------
    ConfigError
        If ``mode`` is no mode, or the rate does not fit it.
    """

    samples_per_label = SAMPLES_PER_LABEL

    def __init__(
        self,
        encoder: nn.Module,
        *,
        width: int,
        layout: Mapping[str, Any],
        mode: str,
        dropout: float,
        encoder_learning_rate: float | None,
    ) -> None:
        super().__init__()
        check_mode(mode, encoder_learning_rate)
        self.layout = dict(layout)
        self.encoder_learning_rate = encoder_learning_rate
        self.encoder = encoder.requires_grad_(encoder_learning_rate is not None)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, N_CLASSES)

    def train(self, mode: bool = True) -> Self:
        """Set the training mode; a frozen encoder is left in evaluation mode."""
        super().train(mode)
        if self.encoder_learning_rate is None:
            self.encoder.eval()
        return self

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Return what is trained, as the parameter groups of a torch optimizer.

        Parameters
        ----------
        learning_rate : float
            Peak rate of the head.

        Returns
        -------
        list of dict
            ``params`` and their peak ``lr``: the head, and unless it is frozen the encoder.
        """
        groups: list[dict[str, Any]] = [
            {"params": list(self.head.parameters()), "lr": learning_rate}
        ]
        if self.encoder_learning_rate is not None:
            encoder = list(self.encoder.parameters())
            groups.append({"params": encoder, "lr": self.encoder_learning_rate})
        return groups

    def forward(self, signal: Tensor, lead_index: Tensor) -> Output:
        """Map strips to logits.

        Parameters
        ----------
        signal : Tensor of shape (B, L, n_samples), dtype float32
            250 Hz, each lead with mean 0 and standard deviation 1; 2500 samples give 500 labels.
        lead_index : Tensor of shape (B, L), dtype int64
            0 to 11.

        Returns
        -------
        Output
            With one label per five samples, and no offsets.
        """
        return Output(self.head(self.dropout(self.encoder(signal, lead_index))))


def check_mode(mode: str, encoder_learning_rate: float | None) -> None:
    """Raise ConfigError if ``mode`` is no mode, or the rate does not fit it."""
    if mode not in (LINEAR_PROBE, FINE_TUNE):
        raise ConfigError(
            f"setting, model.mode: {mode!r}; allowed: {LINEAR_PROBE!r}, {FINE_TUNE!r}"
        )
    if (mode == LINEAR_PROBE) != (encoder_learning_rate is None):
        raise ConfigError(
            f"setting, model.encoder_learning_rate: {encoder_learning_rate!r} with mode {mode!r}; "
            f"{FINE_TUNE!r} needs a rate, and with {LINEAR_PROBE!r} it must be null"
        )


def read_weights(path: Path, *, inside: str = "") -> dict[str, Tensor]:
    """Read tensors by name; no code in the file is run.

    Parameters
    ----------
    path : Path
        Safetensors, or a file of ``torch.save`` with nothing but tensors and plain values.
    inside : str, optional
        Key under which the tensors may lie, beside other things.

    Returns
    -------
    dict of str to Tensor
        In memory of their own; floating ones as float32.

    Raises
    ------
    ConfigError
        If it is not there, of another kind, cut short, or would have to run code.
    """
    if path.suffix not in ENDINGS:
        raise ConfigError(f"{path}: ending {path.suffix!r}; weights end in {', '.join(ENDINGS)}")
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; model.weights names files you have downloaded")
    try:
        content = (
            safetensors.torch.load_file(path)
            if path.suffix == ENDINGS[0]
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except pickle.UnpicklingError as error:
        # torch's own message advises to load such files without its check.
        objects = ", ".join(re.findall(r"GLOBAL (\S+)", str(error))) or "no torch.save file"
        raise ConfigError(
            f"{path}: found {objects}; only tensors and plain values are read, because anything "
            "else runs code"
        ) from error
    except Exception as error:  # damage shows as one of ten kinds
        problem = " ".join(f"{type(error).__name__} {error}".split())
        raise ConfigError(f"{path}: damaged or no {path.suffix} file: {problem}") from error
    tensors = content.get(inside, content) if isinstance(content, dict) else content
    if not isinstance(tensors, dict) or not all(isinstance(t, Tensor) for t in tensors.values()):
        kinds = _few(tensors) if isinstance(tensors, dict) else type(tensors).__name__
        raise ConfigError(f"{path}: found {kinds}; weights are tensors by name")
    return {
        name: tensor.to(torch.float32 if tensor.is_floating_point() else None, copy=True)
        for name, tensor in tensors.items()
    }


def load_exactly(
    encoder: nn.Module,
    tensors: Mapping[str, Tensor],
    path: Path,
    *,
    published: Callable[[str], str] = str,
) -> None:
    """Give an encoder its weights: all of them, and no others.

    Parameters
    ----------
    encoder : nn.Module
        May be on the meta device.
    tensors : mapping of str to Tensor
        By their published names.
    path : Path
        Where they come from, for the message.
    published : callable
        Maps a name in ``encoder`` to the published one.

    Raises
    ------
    ConfigError
        Naming the tensors that are missing, left over or of another shape.
    """
    wanted = {published(name): tensor.shape for name, tensor in encoder.state_dict().items()}
    shapes = {name: tensors[name].shape for name in wanted if name in tensors}
    problems = {
        "missing": sorted(wanted.keys() - tensors.keys()),
        "unexpected": sorted(tensors.keys() - wanted.keys()),
        "of another shape": [
            f"{name} {tuple(shape)} instead of {tuple(wanted[name])}"
            for name, shape in shapes.items()
            if shape != wanted[name]
        ],
    }
    found = [f"{problem}: {_few(names)}" for problem, names in problems.items() if names]
    if found:
        raise ConfigError(f"{path}: does not fit {type(encoder).__name__}; {'; '.join(found)}")
    encoder.load_state_dict(
        {name: tensors[published(name)] for name in encoder.state_dict()}, assign=True
    )


def interpolation(known: Tensor, wanted: Tensor) -> Tensor:
    """Return the weights of linear interpolation, constant before the first and after the last.

    Parameters
    ----------
    known : Tensor of shape (n,), dtype float32
        Where values are known, in ascending order.
    wanted : Tensor of shape (m,), dtype float32
        Where they are wanted.

    Returns
    -------
    Tensor of shape (m, n), dtype float32
        Its product with the values; each row sums to 1.
    """
    steps = (wanted[:, None] - known[:-1]) / known.diff()  # [m, n - 1]
    place = steps.clamp(0, 1).sum(dim=1, keepdim=True)  # [m, 1], counted in known values
    return (1 - (place - torch.arange(len(known), device=known.device)).abs()).clamp(min=0)


def label_centres(n_samples: int, device: torch.device) -> Tensor:
    """Return the middle of each label in samples, shape (n_samples / 5,), dtype float32."""
    first = torch.arange(n_samples // SAMPLES_PER_LABEL, device=device) * SAMPLES_PER_LABEL
    return first + (SAMPLES_PER_LABEL - 1) / 2


def _few(names: Iterable[str]) -> str:
    """Write some of the names on one line."""
    shown = [str(name) for name in names]
    more = f" and {len(shown) - NAMES_SHOWN} more" if len(shown) > NAMES_SHOWN else ""
    return (", ".join(shown[:NAMES_SHOWN]) or "nothing") + more
