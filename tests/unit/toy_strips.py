"""A problem that a head on a pretrained encoder can learn in seconds: where is the strip loud?"""

import torch
from torch import Tensor, nn
from torch.nn import functional

N_SAMPLES = 2500
CLASS = 2
GUESSED = 0.611  # the loss of knowing no more than that 3 s of 10 are loud


def toy_strips(leads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Make 3 strips of quiet noise, each with 3 s of loud oscillation, and the class per label."""
    generator = torch.Generator().manual_seed(0)
    signal = 0.1 * torch.randn(3, leads, N_SAMPLES, generator=generator)
    target = torch.zeros(3, leads, N_SAMPLES // 5, dtype=torch.int64)
    time_s = torch.arange(750) / 250
    for strip, start in enumerate(range(0, 1500, 500)):
        signal[strip, :, start : start + 750] += 3 * torch.sin(2 * torch.pi * 8 * time_s)
        target[strip, :, start // 5 : start // 5 + 150] = CLASS
    return signal, torch.arange(leads).expand(3, leads), target


def learn(network: nn.Module, strips: tuple[Tensor, Tensor, Tensor], *, steps: int) -> list[float]:
    """Train as stage 2 does, with the parameter groups of the network; return the losses."""
    signal, lead_index, target = strips
    torch.manual_seed(1)
    optimizer = torch.optim.AdamW(network.parameter_groups(0.1), weight_decay=0.0)
    network.train()
    losses = []
    for _ in range(steps):
        logits = network(signal, lead_index).logits
        loss = functional.cross_entropy(logits.flatten(0, 2), target.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
