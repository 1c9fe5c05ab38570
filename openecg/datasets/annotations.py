"""Annotation files in the MIT format of the WFDB Applications Guide, annot(5)."""

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from wfdb.io.annotation import ann_label_table

SYMBOLS: dict[int, str] = dict(
    zip(ann_label_table["label_store"].tolist(), ann_label_table["symbol"].tolist(), strict=True)
)
END, NOTE, SKIP, NUM, SUB, CHN, AUX = 0, 22, 59, 60, 61, 62, 63
RESOLUTION = re.compile(rb"## time resolution: (\d+\.?\d*)")


@dataclass(frozen=True)
class Annotation:
    """The marks of an annotation file.

    Attributes
    ----------
    samples : ndarray of shape (n_marks,), dtype int64
        Positions in the order of the file.
    symbols : list of str
        WFDB annotation symbols; ``code 50`` for a code without one.
    fs_hz : float or None
        Rate of the positions, where the file tells it.
    """

    samples: npt.NDArray[np.int64]
    symbols: list[str]
    fs_hz: float | None


def parse_annotation(content: bytes) -> Annotation:
    """Read an annotation file.

    Notes at sample 0 describe the file and are no marks.

    Raises
    ------
    ValueError
        If the file is cut short, or goes on behind its end mark.

    Notes
    -----
    ``wfdb.rdann`` does not come back from some damaged files (a second note that starts with
    ``##`` at sample 0), and takes one that is cut short as whole.
    """
    words = np.frombuffer(content[: len(content) // 2 * 2], dtype="<u2").tolist()
    samples: list[int] = []
    symbols: list[str] = []
    fs_hz = None
    time = at = 0
    described = False
    while at < len(words):
        code, value = words[at] >> 10, words[at] & 0x3FF
        at += 1
        if code == END and value == 0:
            left = len(content) - 2 * at
            if left:
                raise ValueError(f"{left} bytes follow the end mark")
            return Annotation(np.array(samples, dtype=np.int64), symbols, fs_hz)
        if code == SKIP:
            high, low = content[2 * at : 2 * at + 2], content[2 * at + 2 : 2 * at + 4]
            time += int.from_bytes(low + high, "little", signed=True)
            at += 2
        elif code == AUX:
            found = RESOLUTION.match(content, 2 * at, 2 * at + value) if described else None
            fs_hz = float(found[1]) if found else fs_hz
            at += (value + 1) // 2
        elif code not in (NUM, SUB, CHN):
            time += value
            described = code == NOTE and time == 0
            if code != END and not described:
                samples.append(time)
                symbols.append(SYMBOLS.get(code, f"code {code}"))
    raise ValueError("cut short, without its end mark")
