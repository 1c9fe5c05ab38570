"""Files carry what made them."""

import json
import subprocess
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
import torch

from openecg.files import read_tsv, write_parquet, write_tsv
from openecg.made import NO_COMMIT, commit_of, made_by, metadata_path, note_of
from openecg.show import describe
from openecg.splits import draw_folds
from openecg.stage2.checkpoint import read_tensors, write_tensors

OPTIONS = {"seed": 3, "specs": '{"a": 1}', "table": Path("table.tsv")}
FRAME = pd.DataFrame({"system": ["nk_dwt"], "f1": [0.5]})


def write_all(folder: Path) -> list[Path]:
    paths = [folder / name for name in ("table.tsv", "rows.parquet", "model.safetensors")]
    write_tsv(FRAME, paths[0])
    write_parquet(pa.table({"a": [1]}), paths[1])
    write_tensors({"w": torch.zeros(2)}, {"name": "F"}, paths[2])
    return paths


def test_every_kind_of_file_carries_step_options_code_and_versions(tmp_path: Path) -> None:
    with made_by("draw", draw_folds, OPTIONS):
        paths = write_all(tmp_path)
    for path in paths:
        note = note_of(path)
        assert note["step"] == "draw"
        assert note["options"] == {"seed": 3, "specs": {"a": 1}}
        assert len(note["code"]) == 12
        assert note["versions"]["torch"].startswith("2.")
        assert note["data"] == {}
        shown = " ".join(describe(path, width=200, colour=False))
        assert note["commit"] in shown
        assert note["code"] in shown
    assert read_tensors(paths[2])[1] == {"name": "F"}
    assert read_tsv(paths[0]).equals(FRAME)
    described = json.loads(metadata_path(paths[0]).read_text())
    assert described["@context"] == "http://www.w3.org/ns/csvw"
    assert described["url"] == "table.tsv"


def test_without_a_step_nothing_is_noted(tmp_path: Path) -> None:
    for path in write_all(tmp_path):
        assert note_of(path) == {}
        assert "made by" not in describe(path, width=80, colour=False)
    assert not metadata_path(tmp_path / "table.tsv").exists()


def test_the_sums_of_the_data_go_from_file_to_file(tmp_path: Path) -> None:
    archive = tmp_path / "ludb.zip"
    archive.write_bytes(b"zip")
    with made_by("index", draw_folds, {"archive": archive}):
        write_parquet(pa.table({"a": [1]}), tmp_path / "index.parquet")
    sha256 = note_of(tmp_path / "index.parquet")["data"]["ludb.zip"]
    assert sha256 == subprocess.check_output(["sha256sum", archive], text=True).split()[0]
    archive.write_bytes(b"another")
    inputs = [archive, tmp_path / "index.parquet"]
    with made_by("read", draw_folds, {"inputs": inputs}):
        write_tsv(FRAME, tmp_path / "table.tsv")
    with made_by("score", draw_folds, {"tables": [tmp_path / "table.tsv"]}):
        write_tensors({}, {}, tmp_path / "model.safetensors")
    # That of the index, from which records are read: what lies there now is another zip.
    assert note_of(tmp_path / "model.safetensors")["data"] == {"ludb.zip": sha256}


def test_a_table_that_was_edited_has_lost_its_note(tmp_path: Path) -> None:
    with made_by("draw", draw_folds, OPTIONS):
        write_tsv(FRAME, tmp_path / "table.tsv")
    with (tmp_path / "table.tsv").open("a") as file:
        file.write("mine\t1\n")
    assert note_of(tmp_path / "table.tsv") == {}


@pytest.mark.parametrize("content", [b"", b"PAR1", b"\x00" * 40, b"not json"])
def test_a_damaged_file_has_no_note(tmp_path: Path, content: bytes) -> None:
    write_tensors({}, {"made_by": {"step": 1}}, tmp_path / "foreign.safetensors")
    for name in ("a.parquet", "a.safetensors", "a.tsv", "a.tsv-metadata.json"):
        (tmp_path / name).write_bytes(content)
    for path in tmp_path.iterdir():
        assert note_of(path) == {}


def test_the_commit_is_named_with_a_word_on_changes(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        options = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        return subprocess.check_output(["git", "-C", tmp_path, *options, *words], text=True).strip()

    assert commit_of(tmp_path) == NO_COMMIT
    git("init", "-q")
    (tmp_path / "notes.txt").write_text("a")
    git("add", "notes.txt")
    git("commit", "-qm", "first")
    assert commit_of(tmp_path) == NO_COMMIT  # a repository of something else
    (tmp_path / "made.py").write_text("a")
    git("add", "made.py")
    git("commit", "-qm", "second")
    assert commit_of(tmp_path) == git("rev-parse", "HEAD")
    (tmp_path / "notes.txt").write_text("b")
    assert commit_of(tmp_path) == git("rev-parse", "HEAD") + " with changes"
