"""Which records a model learns from, and which it is then scored on: never the same.

A scheme is one of

``held_out``
    Learn from the training records, score the held-out ones.
``tuning0`` to ``tuning4``
    Learn from the training records but for one fold, score that fold: for choosing.
``all0`` to ``all4``
    Learn from all records but for one fold, score that fold: five models together score every
    record of a data set, none of which they learnt from.
"""

import re

import numpy as np
import numpy.typing as npt

from openecg.splits import N_FOLDS, TRAIN

HELD_OUT = "held_out"
TUNING = "tuning"
ALL = "all"
SCOPES = (HELD_OUT, TUNING, ALL)

Texts = npt.NDArray[np.str_]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def schemes_of(scope: str) -> list[str]:
    """List the schemes whose scored records, together, are those of ``held_out`` and so on.

    Parameters
    ----------
    scope : str
        One of ``SCOPES``.
    """
    return [HELD_OUT] if scope == HELD_OUT else [f"{scope}{fold}" for fold in range(N_FOLDS)]


def in_scope(scope: str, split: str) -> bool:
    """Tell whether records of a split are scored in a scope."""
    return scope == ALL or (split == TRAIN) == (scope == TUNING)


def split_name(scope: str, split: str) -> str:
    """Name what is scored: the held-out split, or the scope."""
    return split if scope == HELD_OUT else scope


def learnt_rows(scheme: str, split: Texts, fold: Ints) -> Mask:
    """Say which rows to learn from.

    Parameters
    ----------
    scheme : str
        See the head of this module.
    split : ndarray of str, shape (n,)
        ``train`` or the name of the held-out split.
    fold : ndarray of int64, shape (n,)
        Fold of the record.

    Returns
    -------
    ndarray of bool, shape (n,)

    Raises
    ------
    ValueError
        If there is no such scheme.
    """
    scope, left_out = _parts(scheme)
    learnt: Mask = ((split == TRAIN) | (scope == ALL)) & (fold != left_out)
    return learnt


def scored_rows(scheme: str, split: Texts, fold: Ints) -> Mask:
    """Say which rows to score; parameters, result and errors are those of `learnt_rows`."""
    scope, left_out = _parts(scheme)
    among: Mask = split != TRAIN
    if scope != HELD_OUT:
        among = ((split == TRAIN) | (scope == ALL)) & (fold == left_out)
    return among


def tuning_fold(scheme: str, fold: int) -> int:
    """Move the fold that picks the epoch away from the one that is scored.

    Parameters
    ----------
    scheme : str
        See the head of this module.
    fold : int
        The fold that picks the epoch under ``held_out``.
    """
    scope, left_out = _parts(scheme)
    if scope == HELD_OUT:
        return fold
    others = [other for other in range(N_FOLDS) if other != left_out]
    return others[fold % len(others)]


def _parts(scheme: str) -> tuple[str, int]:
    """Split a scheme to its scope and the fold it leaves out, -1 for none."""
    found = re.fullmatch(rf"({TUNING}|{ALL})([0-{N_FOLDS - 1}])|{HELD_OUT}", scheme)
    if not found:
        raise ValueError(
            f"unknown scheme {scheme!r}; allowed are {HELD_OUT}, and {TUNING} or {ALL} with a fold "
            f"from 0 to {N_FOLDS - 1}"
        )
    return (found[1], int(found[2])) if found[1] else (HELD_OUT, -1)
