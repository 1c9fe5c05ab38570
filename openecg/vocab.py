"""The 13 symbols of a token stream. Ids are append-only: a stream written once stays readable."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from openecg.waves import OTHER, QRS, P, T

VOCAB_VERSION: Final = "1.0"

ID_PAD: Final = 0
ID_UNK: Final = 1
ID_ISO: Final = 2
ID_PACER_SPIKE: Final = 3
ID_P: Final = 4
ID_Q: Final = 5
ID_R: Final = 6
ID_S: Final = 7
ID_T: Final = 8
ID_U: Final = 9
ID_WIDE_QRS: Final = 10
ID_DELTA: Final = 11
ID_J_WAVE: Final = 12


class Symbol(NamedTuple):
    """One entry of the vocabulary.

    Attributes
    ----------
    id : int
        Its number, the high byte of a word.
    char : str
        The one character it is printed as.
    name : str
        Its name in JSON.
    super_class : int
        The class it counts as in scoring: ``OTHER``, ``P``, ``QRS`` or ``T``.
    """

    id: int
    char: str
    name: str
    super_class: int


SYMBOLS: Final = (
    Symbol(ID_PAD, "\u00b7", "<pad>", OTHER),  # fills up batches; never in a stream
    Symbol(ID_UNK, "?", "<unk>", OTHER),  # a strip in which no beat was found
    Symbol(ID_ISO, "_", "iso", OTHER),  # everything between the waves
    Symbol(ID_PACER_SPIKE, "*", "pacer_spike", OTHER),
    Symbol(ID_P, "p", "P", P),
    Symbol(ID_Q, "q", "Q", QRS),
    Symbol(ID_R, "r", "R", QRS),
    Symbol(ID_S, "s", "S", QRS),
    Symbol(ID_T, "t", "T", T),
    Symbol(ID_U, "u", "U", T),  # reserved
    Symbol(ID_WIDE_QRS, "w", "wide_QRS", QRS),  # a QRS too wide to tell Q, R and S apart
    Symbol(ID_DELTA, "d", "delta", QRS),  # reserved
    Symbol(ID_J_WAVE, "j", "J_wave", QRS),  # reserved
)
N_SYMBOLS: Final = len(SYMBOLS)

ID_TO_CHAR: Final = tuple(symbol.char for symbol in SYMBOLS)
ID_TO_NAME: Final = tuple(symbol.name for symbol in SYMBOLS)
CHAR_TO_ID: Final = {symbol.char: symbol.id for symbol in SYMBOLS}
NAME_TO_ID: Final = {symbol.name: symbol.id for symbol in SYMBOLS}

SUPER_CLASS: Final[npt.NDArray[np.uint8]] = np.array(
    [symbol.super_class for symbol in SYMBOLS], dtype=np.uint8
)
"""Super class of each symbol id, shape (13,): ``SUPER_CLASS[frames]`` maps whole arrays."""
SUPER_CLASS.flags.writeable = False
