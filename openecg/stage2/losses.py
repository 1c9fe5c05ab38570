"""What training minimises."""

import torch
from torch import Tensor
from torch.nn import functional

from openecg.waves import IGNORE, KINDS, OTHER

CLASSES = ("other", *KINDS.values())


def class_weights(target: Tensor) -> Tensor:
    """Weigh each class by one over the root of its frames (functional spec 4.4).

    Parameters
    ----------
    target : Tensor of any shape, dtype uint8
        Class of each frame; those to ``IGNORE`` do not count.

    Returns
    -------
    Tensor of shape (4,), dtype float32
        1 / sqrt(count + 1e-6), scaled to a sum of 4.

    Raises
    ------
    ValueError
        If a class has no frame. Its weight would leave the others next to nothing.
    """
    counts = torch.bincount(target.flatten().long(), minlength=IGNORE + 1)[: len(CLASSES)]
    if (counts == 0).any():
        found = ", ".join(f"{c} {n}" for c, n in zip(CLASSES, counts.tolist(), strict=True))
        raise ValueError(f"no weight for a class without a frame; found {found}")
    weights = (counts.double() + 1e-6).rsqrt()
    return (weights * (len(CLASSES) / weights.sum())).float()


def frame_loss(logits: Tensor, target: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Sum the weighted cross-entropy over the frames that count.

    Parameters
    ----------
    logits : Tensor of shape (n_windows, n_frames, 4)
        In any float dtype; summed in float32.
    target : Tensor of shape (n_windows, n_frames), dtype uint8
        Class of each frame, or ``IGNORE``.
    weights : Tensor of shape (4,), dtype float32
        Of the classes.

    Returns
    -------
    loss, total : Tensor of shape (), dtype float32
        The sum, and the sum of the weights in it; the loss of a batch is their ratio.
    """
    flat = target.flatten().long()  # [windows * frames]
    loss = functional.cross_entropy(
        logits.flatten(0, 1).float(), flat, weight=weights, ignore_index=IGNORE, reduction="sum"
    )
    counted = torch.where(flat == IGNORE, 0.0, weights[flat.where(flat != IGNORE, OTHER)])
    return loss, counted.sum()
