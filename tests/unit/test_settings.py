import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from openecg.errors import ConfigError
from openecg.stage2.settings import (
    Setting,
    decoding_name,
    read_setting,
    resolve_setting,
    write_setting,
)
from tests.unit.made_up_shards import setting_values

SETTINGS: dict[str, Any] = {
    "small": {"train_on": ["a", "b"], "model": {"d_model": 64, "layers": 4}},
    "large": {"base": "small", "model": {"d_model": 128}},
    "largest": {"base": "large", "train_on": ["c"], "model": {"layers": 8}},
    "round": {"base": "and_round"},
    "and_round": {"base": "round"},
    "lost": {"base": "nowhere"},
}


def test_mappings_merge_over_all_bases_and_lists_are_replaced() -> None:
    assert resolve_setting(SETTINGS, "largest") == {
        "train_on": ["c"],
        "model": {"d_model": 128, "layers": 8},
    }


def test_a_model_of_another_architecture_takes_nothing_from_its_base() -> None:
    settings = {
        "a": {"model": {"architecture": "x", "layers": 4}, "training": {"epochs": 1}},
        "b": {"base": "a", "model": {"architecture": "y", "depth": 2}},
        "c": {"base": "b", "model": {"architecture": "y", "width": 3}},
    }
    assert resolve_setting(settings, "c") == {
        "model": {"architecture": "y", "depth": 2, "width": 3},
        "training": {"epochs": 1},
    }


def test_resolving_leaves_the_settings_as_they_were() -> None:
    before = json.dumps(SETTINGS)
    resolve_setting(SETTINGS, "largest")
    assert json.dumps(SETTINGS) == before


def test_a_setting_is_decoded_as_the_nearest_of_its_bases_says() -> None:
    settings: dict[str, Any] = {"a": {"decoding": "x"}, "b": {"base": "a"}, "c": {"base": "b"}}
    settings |= {"d": {"base": "b", "decoding": "y"}, "e": {}}
    assert [decoding_name(settings, name) for name in "abcd"] == ["x", "x", "x", "y"]
    assert resolve_setting(settings, "d") == {}
    with pytest.raises(ConfigError, match=r"settings\.e: no key 'decoding'"):
        decoding_name(settings, "e")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("round", "circle"),
        ("lost", r"settings\.lost\.base: no setting 'nowhere'; known: and_round"),
        ("smal", "no setting 'smal'"),
    ],
)
def test_bad_bases_are_named(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        resolve_setting(SETTINGS, name)


def test_a_written_setting_reads_back_equal(tmp_path: Path) -> None:
    values = setting_values(learning_rate=1e-5)
    write_setting(setting=json.dumps(values), path=tmp_path / "tiny.yaml")
    read = read_setting(tmp_path / "tiny.yaml")
    assert read == Setting.from_dict(values)
    assert read.to_dict() == values
    assert read.training.learning_rate == 1e-5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epoch": 3}, "training: unknown key 'epoch'"),
        ({"epochs": "3"}, "training.epochs: '3' is not int"),
        ({"soft_labels": [0.1, "x"]}, "training.soft_labels: .* is not list"),
        ({"soft_labels": [0.3, 0.2]}, "sum must be below 0.5"),
        ({"soft_labels": [0.3], "focal_gamma": 2}, "do not go together"),
        ({"augmentation": {"time_scale": [2, 1]}}, r"time_scale: \[2, 1\] is no range"),
        ({"tuning_fold": None}, "with tuning_fold null they must be null and 'last'"),
        ({"epochs": True}, "training.epochs: True is not int"),
        ({"class_weights": 1}, "training.class_weights: 1 is not bool"),
        ({"learning_rate": "1e-3"}, "training.learning_rate: '1e-3' is not float"),
        ({"patience": 3, "tuning_fold": None}, "with tuning_fold null they must be null"),
    ],
)
def test_a_bad_value_is_one_line_that_names_its_key(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        Setting.from_dict(setting_values(**change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [("a: [", "not YAML"), ("3", "not a mapping"), ("a: 1", "key 'a'"), ("", "not a mapping")],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        read_setting(tmp_path / "bad.yaml")
    assert "bad.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_reading_settings_does_not_load_torch() -> None:
    code = "import sys, openecg.stage2.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
