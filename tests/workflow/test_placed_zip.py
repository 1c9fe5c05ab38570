"""A run on a zip that the user placed in resources/: what it reruns for, and what it refuses."""

import hashlib
import os
import shutil
import time
from pathlib import Path

import pytest
import yaml

from openecg.simulate import simulate
from openecg.table_list import TABLES
from tests.workflow.conftest import LEFT_BEHIND, ROOT, Checkout

pytestmark = pytest.mark.xdist_group("workflow")

ZIP = "resources/lobachevsky-university-electrocardiography-database-1.0.1.zip"
# configs/ludb.yaml, small.
SMALL = {
    "timing": {"leads": 2},
    "scoring": {"bootstrap": 50},
    "report": {"strips": 2},
    "baselines": ["dwt"],
    "train": ["F"],
    "specs": {"ludb": {"parts": 2}},
    "settings": {
        "F": {
            "model": {"d_model": 8, "layers": 1, "heads": 2, "feed_forward": 16},
            "training": {"epochs": 1},
        }
    },
}
CONFIG = ("--configfile", "configs/ludb.yaml", "small.yaml")
AFTER_THE_ZIP = {
    "index_records": 1,
    "read_records": 2,
    "write_shard": 2,
    "write_tokens": 2,
    "time_streams": 1,
    "time_models": 1,
    "predict_tokens": 1,
    "train": 1,
    "predict": 1,
    "decode": 1,
    "score": 4,
    "calibrate": 1,
    "score_pacing": 1,
    "collect_metrics": 2,
    "list_runs": 1,
    "tabulate_numbers": 1,
    "write_table": len(TABLES),
    "compare_streams": 1,
    "tabulate_stage1": 1,
    "write_model_card": 1,
    "write_report": 1,
}


class Placed(Checkout):
    """A checkout whose runs are on the placed zip."""

    config = CONFIG

    def set_sum(self, sha256: str) -> None:
        spec = {"parts": 2, "zip": {"sha256": sha256}}
        text = yaml.safe_dump({**SMALL, "specs": {"ludb": spec}})
        (self.root / "small.yaml").write_text(text)


@pytest.fixture(scope="session")
def read_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("placed") / "checkout"
    shutil.copytree(ROOT, root, ignore=LEFT_BEHIND)
    simulate(layout="ludb", records=12, seed=1, archive=root / ZIP)
    (root / "small.yaml").write_text(yaml.safe_dump(SMALL))
    Placed(root).make()
    return root


@pytest.fixture
def placed(read_once: Path, tmp_path: Path) -> Placed:
    shutil.copytree(read_once, tmp_path / "checkout")
    return Placed(tmp_path / "checkout")


def test_a_second_run_does_nothing_and_says_so_soon(placed: Placed) -> None:
    start = time.monotonic()
    assert placed.planned() == {}
    assert time.monotonic() - start < 10


def test_another_zip_is_read_however_old_it_is(placed: Placed) -> None:
    simulate(layout="ludb", records=12, seed=2, archive=placed.root / ZIP)
    os.utime(placed.root / ZIP, (0, 0))
    assert placed.planned() == AFTER_THE_ZIP


def test_a_zip_that_was_moved_away_or_came_back_is_no_change(placed: Placed) -> None:
    away = placed.root / "away.zip"
    (placed.root / ZIP).rename(away)
    assert placed.planned() == {}
    shutil.copy2(away, placed.root / ZIP)
    assert placed.planned() == {}


@pytest.mark.parametrize("path", ["openecg/fetch.py", "workflow_config.yaml"])
def test_how_a_zip_is_downloaded_does_not_matter_once_it_is_there(
    placed: Placed, path: str
) -> None:
    old, new = {
        "openecg/fetch.py": ("log = ", "spare = 1\nlog = "),
        "workflow_config.yaml": ("https://physionet.org/static", "https://physionet.org/other"),
    }[path]
    placed.edit(path, old, new)
    assert placed.planned() == {}


def test_a_configured_sum_is_checked(placed: Placed) -> None:
    found = hashlib.sha256((placed.root / ZIP).read_bytes()).hexdigest()
    target = ("--", "results/index/ludb.parquet")
    placed.set_sum("0" * 64)
    done = placed.run(*CONFIG, *target, check=False)
    assert done.returncode != 0
    assert f"{ZIP}: sha256 is {found}, expected {'0' * 64}" in done.stdout
    assert "Traceback" not in done.stdout
    assert not (placed.root / target[1]).exists()
    assert (placed.root / ZIP).exists()
    placed.set_sum(found)
    placed.run(*CONFIG, *target)
