import numpy as np
import pytest

from openecg import vocab


def test_ids_count_up_from_zero() -> None:
    assert [symbol.id for symbol in vocab.SYMBOLS] == list(range(13))


def test_characters_and_names_lead_back_to_their_id() -> None:
    assert "".join(vocab.ID_TO_CHAR) == "·?_*pqrstuwdj"
    for i in range(13):
        assert vocab.CHAR_TO_ID[vocab.ID_TO_CHAR[i]] == i
        assert vocab.NAME_TO_ID[vocab.ID_TO_NAME[i]] == i


def test_published_ids_never_change() -> None:
    assert vocab.VOCAB_VERSION == "1.0"
    assert vocab.NAME_TO_ID == {
        "<pad>": 0,
        "<unk>": 1,
        "iso": 2,
        "pacer_spike": 3,
        "P": 4,
        "Q": 5,
        "R": 6,
        "S": 7,
        "T": 8,
        "U": 9,
        "wide_QRS": 10,
        "delta": 11,
        "J_wave": 12,
    }


def test_super_classes() -> None:
    by_char = dict(zip(vocab.ID_TO_CHAR, vocab.SUPER_CLASS.tolist(), strict=True))
    assert {char for char, kind in by_char.items() if kind == 1} == set("p")
    assert {char for char, kind in by_char.items() if kind == 2} == set("qrswdj")
    assert {char for char, kind in by_char.items() if kind == 3} == set("tu")
    assert vocab.SUPER_CLASS.dtype == np.uint8


def test_nobody_can_change_the_table() -> None:
    with pytest.raises(ValueError, match="read-only"):
        vocab.SUPER_CLASS[0] = 1
