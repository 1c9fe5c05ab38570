"""Bad input ends a whole run as it ends a step: see ``tests/unit/test_bad_input.py``."""

import pytest

from tests.workflow.conftest import Checkout

pytestmark = pytest.mark.xdist_group("workflow")
ZIP = "resources/lobachevsky-university-electrocardiography-database-1.0.1.zip"


def test_a_truncated_zip_is_named_and_kept(fresh: Checkout) -> None:
    (fresh.root / ZIP).write_bytes(b"PK\x03\x04 cut short")
    target = "results/index/ludb.parquet"
    done = fresh.run("--configfile", "configs/ludb.yaml", "--", target, check=False)
    assert done.returncode != 0
    said = [line for line in done.stdout.splitlines() if "ERROR openecg" in line]
    assert said
    assert "lobachevsky" in said[0]
    assert not (fresh.root / target).exists()
    assert (fresh.root / ZIP).read_bytes() == b"PK\x03\x04 cut short"
    assert "Traceback" not in done.stdout
