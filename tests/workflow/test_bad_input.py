"""Bad input ends a run with one line that says what is wrong, and leaves nothing half-written."""

from pathlib import Path

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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sgnal: {}", "did you mean 'signal'"),
        ("seeds: [-1]", "seeds.0"),
        ("datasets: [simulated_ludb]", "needs data set"),
    ],
)
def test_a_wrong_config_is_refused_before_anything_runs(
    fresh: Checkout, tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "overlay.yaml").write_text(text)
    done = fresh.run("--configfile", str(tmp_path / "overlay.yaml"), check=False)
    assert done.returncode != 0
    assert said in done.stdout
    assert "Traceback" not in done.stdout
    assert not (fresh.root / "results").exists()
