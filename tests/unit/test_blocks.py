import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openecg.blocks import blocks


def check(group: npt.NDArray[np.int64], rows: int) -> None:
    found = blocks(group, rows=rows)
    assert [part.start for part in found[1:]] == [part.stop for part in found[:-1]]
    assert (found[0].start, found[-1].stop) == (0, group.size)
    seen: set[int] = set()
    for part in found:
        own = set(group[part].tolist())
        assert own
        assert not own & seen
        seen |= own


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(1, 70))
def test_blocks_cover_all_rows_and_keep_groups_whole(numbers: list[int], rows: int) -> None:
    _, group = np.unique(numbers, return_inverse=True)
    check(group.astype(np.int64), rows)


@pytest.mark.parametrize("rows", [1, 4, 12, 100])
def test_neighbours_fill_blocks_no_further_than_needed(rows: int) -> None:
    group = np.repeat(np.arange(20), 4)
    sizes = [part.stop - part.start for part in blocks(group, rows=rows)]
    assert all(rows <= size < rows + 4 for size in sizes[:-1])
    assert sum(sizes) == 80


def test_nothing_has_no_block() -> None:
    assert blocks(np.zeros(0, dtype=np.int64)) == []
