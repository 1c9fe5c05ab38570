"""Token streams as a column of a table."""

import itertools

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from openecg.codec import Event, Offsets, decode_many

Ints = npt.NDArray[np.int64]


def decode_column(words: pa.ChunkedArray) -> tuple[Ints, Ints, Offsets]:
    """Unpack a column of words in one pass.

    Parameters
    ----------
    words : ChunkedArray of lists of uint16
        One stream per row.

    Returns
    -------
    symbols, ms, offsets
        As `openecg.codec.decode_many`.

    Raises
    ------
    ValueError
        As `openecg.codec.decode_many`, naming the row as its stream.
    """
    lengths = pc.list_value_length(words).to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return decode_many(pc.list_flatten(words).to_numpy(), offsets)


def decode_rows(words: pa.ChunkedArray) -> list[list[Event]]:
    """Unpack a column of words to a list of events per row; errors as `decode_column`."""
    symbols, ms, offsets = decode_column(words)
    events: list[Event] = list(zip(symbols.tolist(), ms.tolist(), strict=True))
    ends = offsets.tolist()
    return [events[start:end] for start, end in itertools.pairwise(ends)]
