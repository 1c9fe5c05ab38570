"""One system stands for each setting: its own decoding where that is scored."""

from openecg.own_decoding import by_own_decoding


def test_the_own_decoding_wins_wherever_it_stands() -> None:
    systems = ["b+x", "a+x", "a", "a+y", "b+y", "nk_dwt", "a"]
    assert by_own_decoding(systems) == ["b+x", "a", "nk_dwt"]


def test_nothing_of_nothing() -> None:
    assert by_own_decoding([]) == []
