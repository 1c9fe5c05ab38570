import re
import tomllib
from pathlib import Path

import yaml

import openecg
from openecg.__main__ import STEPS

ROOT = Path(__file__).parents[2]


def test_the_package_is_this_checkout_and_not_the_one_on_pypi() -> None:
    assert Path(openecg.__file__).is_relative_to(ROOT)


def test_conda_environment_has_the_versions_of_the_lock() -> None:
    lock = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        found = re.match(r"([A-Za-z0-9._-]+)==([^ ;]+)(?: ; python_full_version < '3.12')?$", line)
        if found:
            lock[found[1].lower()] = found[2]
    entries = yaml.safe_load((ROOT / "envs" / "openecg.yaml").read_text())["dependencies"]
    pip = next(entry["pip"] for entry in entries if isinstance(entry, dict))
    pins = dict(re.split(r" ?=+ ?", entry) for entry in [*entries, *pip] if isinstance(entry, str))
    del pins["python"]
    assert pins == {name: lock[name] for name in pins}
    declared = re.findall(r'^    "([a-z0-9]+)[<>=]', (ROOT / "pyproject.toml").read_text(), re.M)
    run_time = declared[: declared.index("wfdb") + 1]
    assert {*run_time, "pip"} == set(pins)


def test_citation_and_contributing_keep_up_with_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == project["version"]
    assert cited["license"] == project["license"]
    table = (ROOT / "CONTRIBUTING.md").read_text()
    for step, place in STEPS.items():
        module, function = place.split(":")
        if step == "print-headline":  # of the Makefile, no rule
            continue
        rows = [line for line in table.splitlines() if f"`{function}`" in line]
        assert any(f"`{module.replace('.', '/')}.py`" in row for row in rows), step


def test_importing_the_package_stays_light() -> None:
    text = (ROOT / "openecg" / "__init__.py").read_text()
    assert "import" not in text
