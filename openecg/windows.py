"""Windows of equal length, laid where a lead is annotated."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt

from openecg.errors import ConfigError, DataError
from openecg.waves import NOT_MARKED, Waves

# QTDB marks lie in one to a few runs of beats per record; 12,500 samples at 250 Hz part two runs
# (functional spec, section 4.2).
MAX_GAP_S = 50.0
# A record may differ from a window by this much and still count as one: ISP has 9,998 to 9,999
# samples at 1000 Hz. Windows of longer records start at whole multiples of it.
SLACK_MS = 20
# Share of a sliding window that its cluster must fill: 1000 of 2500 samples (functional spec 4.2).
MIN_OVERLAP = Fraction(2, 5)
# The rules, and the keys that each takes besides ``rule``, with their least values.
RULES: dict[str, dict[str, int]] = {
    "cover": {},
    "centre": {},
    "density": {},
    "sliding": {"per_lead": 1, "seed": 0},
}


@dataclass(frozen=True)
class WindowRule:
    """How windows are chosen in a lead that is longer than a window.

    Attributes
    ----------
    rule : str
        ``cover``: the fewest that hold all marks. ``centre``: one, in the middle between the first
        and the last mark, as openecg 0.1.0. ``density``: one, around the mark with most marks
        about it, as openecg 0.2.0. ``sliding``: some at random.
    per_lead, seed : int
        Windows of a lead and seed of their draw; of ``sliding`` only.
    """

    rule: str
    per_lead: int = 0
    seed: int = 0

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "WindowRule":
        """Check the entry ``windows`` of a data set.

        Raises
        ------
        ConfigError
            If the rule is unknown, or does not take just the keys given, or a value is too small.
        """
        rule = values.get("rule")
        if rule not in RULES:
            raise ConfigError(f"windows.rule: unknown rule {rule!r}; one of {', '.join(RULES)}")
        least = RULES[rule]
        for key in sorted(({"rule"} | set(values)) ^ ({"rule"} | set(least))):
            problem = "takes no such key" if key in values else "needs this key"
            raise ConfigError(f"windows.{key}: rule {rule!r} {problem}")
        for key, lowest in least.items():
            value = values[key]
            if type(value) is not int or value < lowest:
                raise ConfigError(f"windows.{key}: {value!r} is no whole number from {lowest} up")
        return cls(**values)

    @classmethod
    def from_json(cls, text: str) -> "WindowRule":
        """Read what `from_dict` takes from JSON.

        Raises
        ------
        ConfigError
            If ``text`` is no JSON mapping, or as `from_dict`.
        """
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise ConfigError(f"windows: {text!r} is not JSON: {error}") from error
        if not isinstance(values, dict):
            raise ConfigError(f"windows: {text} is no mapping")
        return cls.from_dict(values)


def cut_windows(
    waves: Waves,
    *,
    record_id: str,
    n_samples: int,
    fs_hz: float,
    window_s: float,
    rule: WindowRule,
    max_gap_s: float = MAX_GAP_S,
) -> list[tuple[int, int]]:
    """Choose the windows of a lead.

    A lead as long as a window, give or take 20 ms, is one window from sample 0 under every rule.
    In a longer lead all depends on its marks, of every kind of wave:

    * ``cover``: the marks are split to clusters, and each cluster is covered by the fewest windows
      that do, side by side, centred on the cluster and shifted to stay inside the lead; those that
      then hold no mark are left out.
    * ``centre``: one window in the middle between the first and the last mark, even if it then
      holds none.
    * ``density``: one window around the mark with most marks within half a window before and
      after it, the first of several such.
    * ``sliding``: different windows, drawn with equal chances from all that hold a mark and of
      which two fifths (or the whole cluster, if that is less) lie between the first and the last
      mark of a cluster. Leads of a record draw from streams that start alike, so leads marked
      alike have the same windows.

    Parameters
    ----------
    waves : Waves
        Waves of the lead at ``fs_hz``.
    record_id : str
        Record of the lead, which with the seed starts the random stream of ``sliding``.
    n_samples : int
        Samples of the lead.
    fs_hz, window_s : float
        Sampling rate in Hz and length of a window in s; their product must be whole.
    rule : WindowRule
        How to choose.
    max_gap_s : float
        A longer gap between two marks, in s, starts a new cluster.

    Returns
    -------
    list of (start, n_samples)
        First sample and number of samples of each window, in time order, all different; only those
        of ``sliding`` may overlap. Only a lead shorter than a window gives fewer samples than a
        window. Empty if a long lead has no mark. Fewer than ``per_lead`` if a lead does not have
        as many.

    Raises
    ------
    ValueError
        If a window is no whole number of samples, or ``max_gap_s`` is under 2.5 windows, so that
        the windows of two clusters might overlap.
    DataError
        If the lead is more than 20 ms shorter than a window.

    Notes
    -----
    In long leads windows start at multiples of 20 ms that are whole samples, so that a
    start is a whole sample at the working rate too. Where a cluster reaches to the end of a lead
    that is no whole number of windows long, the marks that do not fit are left out.
    """
    exact = Fraction(str(fs_hz)) * Fraction(str(window_s))
    if exact.denominator != 1:
        raise ValueError(f"a window of {window_s} s is no whole number of samples at {fs_hz} Hz")
    window = int(exact)
    slack = Fraction(str(fs_hz)) * SLACK_MS / 1000
    if n_samples < window - slack:
        raise DataError(
            f"{n_samples} samples at {fs_hz:g} Hz are shorter than a window of {window_s:g} s; "
            f"at least {window - int(slack)} are needed"
        )
    if n_samples <= window + slack:
        return [(0, min(n_samples, window))]
    if max_gap_s < 2.5 * window_s:
        raise ValueError(
            f"max_gap_s must be at least 2.5 windows of {window_s:g} s, got {max_gap_s:g} s"
        )
    marks = np.sort(waves.marks[waves.marks != NOT_MARKED])
    if not marks.size:
        return []
    lead = _LongLead(marks, n_samples, window, slack.numerator, max_gap_s * fs_hz)
    if rule.rule == "cover":
        starts = _cover(lead)
    elif rule.rule == "centre":
        starts = _centre(lead)
    elif rule.rule == "density":
        starts = _density(lead)
    else:
        rng = np.random.default_rng([rule.seed, *record_id.encode()])
        starts = _slide(lead, per_lead=rule.per_lead, rng=rng)
    return [(int(start), window) for start in starts]


def waves_in_window(waves: Waves, start: int, n_samples: int) -> Waves:
    """Take the waves of a window, counted from its first sample.

    Parameters
    ----------
    waves : Waves
        Waves of the lead.
    start, n_samples : int
        First sample and number of samples of the window.

    Returns
    -------
    Waves
        The waves with a mark inside; marks outside become ``NOT_MARKED``, so a wave cut by the
        edge is an incomplete one.
    """
    marks = waves.marks
    inside = (marks >= start) & (marks < start + n_samples) & (marks != NOT_MARKED)
    moved = np.where(inside, marks - start, NOT_MARKED)
    kept = inside.any(axis=1)
    on, peak, off = moved[kept].T
    return Waves(waves.kind[kept], on, peak, off)


@dataclass(frozen=True)
class _LongLead:
    """Where marks lie in a lead that is longer than a window; all in samples.

    ``marks`` are sorted, windows start at multiples of ``grid``, and a gap over ``max_gap`` parts
    two clusters.
    """

    marks: npt.NDArray[np.int64]
    n_samples: int
    window: int
    grid: int
    max_gap: float

    def clusters(self) -> list[tuple[int, int]]:
        """First and last mark of each run of marks that no gap interrupts."""
        runs = np.split(self.marks, np.flatnonzero(np.diff(self.marks) > self.max_gap) + 1)
        return [(int(run[0]), int(run[-1])) for run in runs]

    def fit(self, start: int, length: int) -> int:
        """Move ``length`` samples from ``start`` on into the lead and onto the grid."""
        return max(min(start, self.n_samples - length) // self.grid * self.grid, 0)

    def count(self, starts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Count the marks in the window from each of ``starts`` on."""
        ends = np.searchsorted(self.marks, starts + self.window)
        return np.asarray(ends - np.searchsorted(self.marks, starts), dtype=np.int64)


def _cover(lead: _LongLead) -> npt.NDArray[np.int64]:
    """Cover the clusters with windows side by side; like all rules, this gives their starts."""
    window = lead.window
    starts = []
    for first, last in lead.clusters():
        count = min(-(-(last + 1 - first) // window), lead.n_samples // window)
        start = _around(lead, first, last, count * window)
        covered = start <= first and last < start + count * window
        if not covered and (count + 1) * window <= lead.n_samples:
            count += 1
            start = _around(lead, first, last, count * window)
        starts += [start + k * window for k in range(count)]
    found = np.array(starts)
    return found[lead.count(found) > 0]


def _around(lead: _LongLead, first: int, last: int, length: int) -> int:
    """Centre ``length`` samples on a cluster, or begin with it where it is the longer one."""
    return lead.fit(min(first, (first + last + 1 - length) // 2), length)


def _centre(lead: _LongLead) -> npt.NDArray[np.int64]:
    """Put a window in the middle between the first and the last mark."""
    middle = int(lead.marks[0] + lead.marks[-1]) // 2
    return np.array([lead.fit(middle - lead.window // 2, lead.window)])


def _density(lead: _LongLead) -> npt.NDArray[np.int64]:
    """Put a window around the first of the marks with most marks about them."""
    half = lead.window // 2
    before = np.searchsorted(lead.marks, lead.marks - half, side="left")
    behind = np.searchsorted(lead.marks, lead.marks + half, side="right")
    densest = int(lead.marks[np.argmax(behind - before)])
    return np.array([lead.fit(densest - half, lead.window)])


def _slide(lead: _LongLead, *, per_lead: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw windows from all that lie well enough in a cluster and hold a mark."""
    allowed = []
    for first, last in lead.clusters():
        overlap = min(ceil(MIN_OVERLAP * lead.window), last + 1 - first)
        lowest = max(first + overlap - lead.window, 0)
        highest = min(last + 1 - overlap, lead.n_samples - lead.window)
        allowed.append(np.arange(-(-lowest // lead.grid) * lead.grid, highest + 1, lead.grid))
    starts = np.concatenate(allowed)
    starts = starts[lead.count(starts) > 0]
    drawn = rng.choice(starts, size=min(per_lead, starts.size), replace=False)
    return np.sort(drawn)
