"""P waves of one record go to another, whose own nobody marked."""

import torch
from torch import Tensor

from openecg.stage2.settings import Augmentation
from openecg.stage2.targets import Marks
from openecg.waves import BOUNDARIES, KINDS, P

# From the end of a P wave to the QRS onset: 5th and 95th percentile of LUDB's training records.
PR_SEGMENT_MS = (26.0, 100.0)
SIZE = (0.4, 1.0)  # of the P waves: beside large paced complexes they are smaller than elsewhere
MARGIN_MS = 20.0  # of signal on both sides of a P wave that goes with it

P_ROW = list(KINDS).index(P)
P_ON, P_OFF, QRS_ON = (BOUNDARIES.index(name) for name in ("P_on", "P_off", "QRS_on"))


def transplant_p(
    signal: Tensor, marks: Marks, augmentation: Augmentation, *, n_leads: int, fs_hz: float
) -> None:
    """Give some items whose P waves are not marked, as of paced records, one of another item.

    The same P wave is put ahead of each QRS complex of the item, in all leads at once, where it
    meets no wave, half-marked ones included; each lead gets that of one lead of the other item.

    Parameters
    ----------
    signal : Tensor of shape (N, n_samples), dtype float32
        Strips with standard deviation 1; the leads of an item behind each other. Changed in place.
    marks : Marks
        Of these N strips. Changed in place.
    augmentation : Augmentation
        ``p_waves``, the share of these items.
    n_leads : int
        Leads of an item.
    fs_hz : float
        Sampling rate in Hz.
    """
    first = torch.arange(0, len(signal), n_leads, device=signal.device)
    wanting = marks.p_unmarked.view(-1, n_leads).all(dim=1) & (
        torch.rand(len(first), device=signal.device) < augmentation.p_waves
    )
    margin, n_samples = round(MARGIN_MS * fs_hz / 1000), signal.shape[1]
    starts = (marks.on_ms[first, P_ROW] * (fs_hz / 1000)).round() - margin  # infinite: no wave
    stops = (marks.off_ms[first, P_ROW] * (fs_hz / 1000)).round() + margin
    onsets = marks.boundary_ms[first, QRS_ON][:, None]  # [n_items, 1, M]
    ends = marks.off_ms[first, P_ROW][..., None]  # [n_items, W, 1]
    follows = ((onsets >= ends) & (onsets < ends + MARGIN_MS)).any(dim=2)
    whole = (starts >= 0) & (stops <= n_samples) & ~follows
    for item in wanting.nonzero()[:, 0].tolist():
        given = whole.nonzero()
        if not len(given):
            return
        giver, wave = given[int(torch.randint(len(given), ()))].tolist()
        start, stop = int(starts[giver, wave]), int(stops[giver, wave])
        piece = signal[giver * n_leads : (giver + 1) * n_leads, start:stop]
        line = torch.linspace(0, 1, stop - start, device=signal.device)
        piece = piece - torch.lerp(piece[:, :1], piece[:, -1:], line)
        size, gap_ms = (_drawn(*limits) for limits in (SIZE, PR_SEGMENT_MS))
        _put(
            signal[item * n_leads : (item + 1) * n_leads],
            marks.at(slice(item * n_leads, (item + 1) * n_leads)),
            size * piece,
            margin=margin,
            gap_ms=gap_ms,
            fs_hz=fs_hz,
        )


def _put(
    signal: Tensor, marks: Marks, piece: Tensor, *, margin: int, gap_ms: float, fs_hz: float
) -> None:
    """Put a piece of signal ahead of each QRS complex of an item, all in place."""
    sample_ms = 1000 / fs_hz
    n_samples, length = signal.shape[1], piece.shape[1]
    known_on = torch.cat([marks.on_ms.flatten(), marks.unknown_on_ms.flatten()])
    known_off = torch.cat([marks.off_ms.flatten(), marks.unknown_off_ms.flatten()])
    row = 0
    for onset_ms in marks.boundary_ms[0, QRS_ON].tolist():
        if onset_ms == torch.inf or row == marks.on_ms.shape[2]:
            return
        start = round((onset_ms - gap_ms) / sample_ms) - length + margin
        on_ms, off_ms = (start + margin) * sample_ms, (start + length - margin) * sample_ms
        if start < 0 or start + length > n_samples:
            continue
        if ((known_on < off_ms) & (known_off > on_ms)).any():
            continue
        signal[:, start : start + length] += piece
        marks.on_ms[:, P_ROW, row], marks.off_ms[:, P_ROW, row] = on_ms, off_ms
        marks.boundary_ms[:, P_ON, row] = on_ms
        marks.boundary_ms[:, P_OFF, row] = off_ms - marks.sample_ms
        row += 1


def _drawn(low: float, high: float) -> float:
    """Draw evenly from torch's global generator."""
    return float(torch.empty(()).uniform_(low, high))
