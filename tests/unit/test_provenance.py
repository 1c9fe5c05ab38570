import sys
from pathlib import Path

import pytest

from openecg.provenance import code_hash


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "made_up"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "step.py").write_text('"""Step."""\nfrom made_up.deep import value\n')
    (folder / "deep.py").write_text("value = 1\n")
    (folder / "other.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "made_up"]:
        del sys.modules[name]
    code_hash.cache_clear()
    return folder


@pytest.mark.parametrize(
    ("file", "text", "changes"),
    [
        ("deep.py", "value = 2\n", True),
        ("deep.py", "# a comment\nvalue   =   1\n", False),
        ("step.py", '"""Other words."""\nfrom made_up.deep import value\n', False),
        ("other.py", "value = 2\n", False),
    ],
    ids=["imported code", "comment", "docstring", "module that is not imported"],
)
def test_hash_changes_with_code_that_is_imported(
    package: Path, file: str, text: str, changes: bool
) -> None:
    before = code_hash("made_up.step")
    (package / file).write_text(text)
    code_hash.cache_clear()
    assert (code_hash("made_up.step") != before) is changes


def test_module_imported_by_computed_name_is_hashed_when_named(package: Path) -> None:
    before = code_hash("made_up.step", "made_up.other")
    (package / "other.py").write_text("value = 2\n")
    code_hash.cache_clear()
    assert code_hash("made_up.step", "made_up.other") != before


def test_unknown_module_is_an_error(package: Path) -> None:
    with pytest.raises(ModuleNotFoundError):
        code_hash("made_up.absent")
