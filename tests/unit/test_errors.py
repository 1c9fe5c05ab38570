import pytest

from openecg.errors import LONGEST, ConfigError, DataError, one_line


@pytest.mark.parametrize("kind", [DataError, ConfigError])
def test_a_message_is_one_printable_line_whatever_it_quotes(kind: type[ValueError]) -> None:
    said = str(kind("my  file.zip: 'a\nb\r\n  c\x1b[2J\u2028d\0' is no name\n"))
    assert said == "my  file.zip: 'a b c\\x1b[2J d\\x00' is no name"


def test_a_long_message_keeps_both_ends() -> None:
    said = one_line("file.zip: " + "x" * 100_000 + "; allowed are 1, 2")
    assert len(said) < LONGEST + 10
    assert said.startswith("file.zip: xxx")
    assert said.endswith("xxx; allowed are 1, 2")
