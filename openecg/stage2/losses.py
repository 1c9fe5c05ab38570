"""What training minimises."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from openecg.stage2.targets import OTHER_OR_P
from openecg.waves import IGNORE, KINDS, OTHER, P

CLASSES = ("other", *KINDS.values())


def class_weights(target: Tensor) -> Tensor:
    """Weigh each class by one over the root of its frames (functional spec 4.4).

    Parameters
    ----------
    target : Tensor of any shape, dtype uint8
        Class of each frame, ``OTHER_OR_P`` or ``IGNORE``; the last two do not count.

    Returns
    -------
    Tensor of shape (4,), dtype float32
        1 / sqrt(count + 1e-6), scaled to a sum of 4.

    Raises
    ------
    ValueError
        If a class has no frame. Its weight would leave the others next to nothing.
    """
    return weights_of_counts(class_counts(target))


def class_counts(target: Tensor) -> Tensor:
    """Count the frames of each class, shape (4,); those of no known class do not count."""
    return torch.bincount(target.flatten().long(), minlength=IGNORE + 1)[: len(CLASSES)]


def weights_of_counts(counts: Tensor) -> Tensor:
    """Weigh each class by its number of frames; result and errors as of `class_weights`."""
    if (counts == 0).any():
        found = ", ".join(f"{c} {n}" for c, n in zip(CLASSES, counts.tolist(), strict=True))
        raise ValueError(f"no weight for a class without a frame; found {found}")
    weights = (counts.double() + 1e-6).rsqrt()
    return (weights * (len(CLASSES) / weights.sum())).float()


def label_loss(
    logits: Tensor, target: Tensor, weights: Tensor, *, focal_gamma: float, soft: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Sum the weighted cross-entropy over the labels that count.

    Parameters
    ----------
    logits : Tensor of shape (N, T, 4)
        In any float dtype; summed in float32.
    target : Tensor of shape (N, T), dtype uint8
        Class of each label, ``OTHER_OR_P``, which asks for the sum of both and is weighted as
        other, or ``IGNORE``.
    weights : Tensor of shape (4,), dtype float32
        Of the classes.
    focal_gamma : float
        Above 0: each label also counts by the power gamma of one minus the probability of its
        class (focal loss, functional spec 5.5).
    soft : sequence of float
        Not empty: see `soft_labels`, where ``OTHER_OR_P`` does not count; weights are then applied
        to the mixtures, which are scaled to a sum of 1 again (functional spec 5.5, soft labels).

    Returns
    -------
    loss, total : Tensor of shape (), dtype float32
        The sum, and what to divide it by: the sum of the weights of plain cross-entropy, else the
        number of labels.
    """
    flat = target.flatten().long()  # [N T]
    counted = flat != IGNORE
    known = flat.where(flat < len(CLASSES), OTHER)
    log_p = functional.log_softmax(logits.flatten(0, 1).float(), dim=1)  # [N T, 4]
    if soft:
        mixture = soft_labels(target, soft).flatten(0, 1) * weights  # [N T, 4]
        mixture = mixture / mixture.sum(dim=1, keepdim=True).clamp_min(1e-12)
        return -(mixture * log_p).sum(), (flat < len(CLASSES)).sum()
    own = log_p.gather(1, known[:, None])[:, 0]
    either = torch.logaddexp(log_p[:, OTHER], log_p[:, P]).clamp(max=0)  # rounded, it may be more
    own = torch.where(flat == OTHER_OR_P, either, own)
    weight = torch.where(counted, weights[known], 0.0)
    if focal_gamma:
        return -(weight * (1 - own.exp()) ** focal_gamma * own).sum(), counted.sum()
    return -(weight * own).sum(), weight.sum()


def soft_labels(target: Tensor, shares: Sequence[float]) -> Tensor:
    """Let each label take on some of the classes of its neighbours.

    Parameters
    ----------
    target : Tensor of shape (N, T), dtype uint8
        Class of each label; others are to be ignored.
    shares : sequence of float
        Share of the neighbour at distance 1, 2 and so on, on either side; the label keeps the rest.
        One share of 0.3 makes the two labels at a change 0.7 of their own class.

    Returns
    -------
    Tensor of shape (N, T, 4), dtype float32
        Mixtures of sum 1; zeros for labels to ignore. What a neighbour to ignore, or none, would
        give goes to the others in proportion.
    """
    counted = target < len(CLASSES)
    hard = functional.one_hot(target.long().where(counted, OTHER), len(CLASSES)).float()
    hard = (hard * counted[..., None]).transpose(1, 2)  # [N, 4, T]
    sides = torch.tensor(shares, device=target.device)
    kernel = torch.cat([sides.flip(0), 1 - 2 * sides.sum()[None], sides])
    rows = hard.flatten(0, 1)[:, None]  # [N 4, 1, T]
    mixed = functional.conv1d(rows, kernel[None, None], padding=len(shares))
    mixed = mixed[:, 0].view_as(hard).transpose(1, 2)  # [N, T, 4]
    mixed = mixed / mixed.sum(dim=2, keepdim=True).clamp_min(1e-12)
    return mixed * counted[..., None]


def offset_loss(offsets: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Sum the absolute error of boundary distances.

    Parameters
    ----------
    offsets, wanted : Tensor of shape (N, T, 6)
        Distances in samples; NaN in ``wanted`` where there is none to learn.

    Returns
    -------
    loss, total : Tensor of shape (), dtype float32
        The sum, and the number of distances in it.
    """
    known = ~wanted.isnan()
    error = (offsets.float() - wanted.nan_to_num()).abs()
    return (error * known).sum(), known.sum()


def touch_loss(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Sum the probability of going straight from one wave to another.

    In LUDB no two waves touch (functional spec 5.8); this holds the prediction to it.

    Parameters
    ----------
    logits : Tensor of shape (N, T, 4)
    target : Tensor of shape (N, T), dtype uint8
        Labels to ``IGNORE`` do not count.

    Returns
    -------
    loss, total : Tensor of shape (), dtype float32
        The sum, and the number of pairs of neighbours in it.
    """
    waves = logits.float().softmax(dim=2)[..., 1:]  # [N, T, 3]
    here, there = waves[:, :-1], waves[:, 1:]
    touching = here.sum(2) * there.sum(2) - (here * there).sum(2)
    counted = (target[:, :-1] != IGNORE) & (target[:, 1:] != IGNORE)
    return (touching * counted).sum(), counted.sum()
