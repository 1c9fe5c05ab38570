"""The SLURM profile repeats the default one, and every rule can go to a cluster."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
GROWING = r"=lambda wildcards, (input, )?attempt: (\d+|\(.+\)) \* attempt"


def profile(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text())
    return loaded


def rules() -> dict[str, str]:
    text = "\n".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    parts = re.split(r"^rule (\w+):$", text, flags=re.M)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_what_the_default_profile_says_the_slurm_profile_says_too() -> None:
    default, slurm = profile("default"), profile("slurm")
    limits = default.pop("resources")
    assert limits.keys() <= slurm["resources"].keys()
    assert {key: slurm.get(key) for key in default} == default


def test_rules_that_go_to_the_cluster_ask_for_more_with_each_attempt() -> None:
    for name, text in rules().items():
        if "localrule: True" not in text:
            assert re.search(f"mem_mb{GROWING}", text), name
            assert re.search(f"runtime{GROWING}", text), name


def test_retries_are_in_the_profile_only() -> None:
    # In a rule they run inside the failed job, with the memory and time that were too little.
    assert profile("slurm")["retries"] > 0
    assert not any("retries:" in text for text in rules().values())


def test_groups_are_of_rules_that_there_are_and_short() -> None:
    slurm, known = profile("slurm"), rules()
    assert slurm["groups"].keys() <= known.keys()
    assert set(slurm["groups"].values()) == slurm["group-components"].keys()
    assert not any("localrule: True" in known[name] for name in slurm["groups"])
    alone = known.keys() - slurm["groups"].keys()
    submitted = {name for name in alone if "localrule: True" not in known[name]}
    assert submitted == {
        "train",
        "time_streams",
        "time_models",
        "write_report",
    }  # few jobs, or long ones


def test_only_training_asks_for_a_gpu() -> None:
    slurm = profile("slurm")
    asking = {name for name, text in rules().items() if "gpu=CARDS" in text}
    given_none = {name for name, values in slurm["set-resources"].items() if values["gpu"] == 0}
    assert asking - given_none == {"train"}
