"""One system stands for each setting: its own decoding where that is scored."""

import pandas as pd

from openecg.own_decoding import by_own_decoding, of_own_decoding


def test_the_own_decoding_wins_wherever_it_stands() -> None:
    systems = ["b+x", "a+x", "a", "a+y", "b+y", "nk_dwt", "a"]
    assert by_own_decoding(systems) == ["b+x", "a", "nk_dwt"]


def test_nothing_of_nothing() -> None:
    assert by_own_decoding([]) == []


def test_each_data_set_and_split_has_its_own() -> None:
    rows = pd.DataFrame(
        {
            "system": ["a+x", "a", "a+x", "a+x", "a+y"],
            "dataset": ["ludb", "ludb", "qtdb", "ludb", "ludb"],
            "split": ["all", "all", "all", "test", "test"],
        },
        index=[7, 7, 7, 7, 7],
    )
    assert of_own_decoding(rows).tolist() == [False, True, True, True, False]
