"""A zip that is not in resources/ comes from its published address."""

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from openecg.simulate import simulate
from tests.workflow.conftest import Checkout

pytestmark = pytest.mark.xdist_group("workflow")
NAME = "lobachevsky-university-electrocardiography-database-1.0.1.zip"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "published"
    folder.mkdir()
    simulate(layout="ludb", records=12, seed=1, archive=folder / NAME)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_a_missing_zip_is_downloaded_once_and_kept(fresh: Checkout, address: str) -> None:
    old = "https://physionet.org/static/published-projects/ludb"
    fresh.edit("workflow_config.yaml", f"{old}/", f"{address}/")
    args = (f"resources/{NAME}", "--configfile", "configs/ludb.yaml")
    fresh.run(*args)
    got = fresh.root / "resources" / NAME
    stamp = got.stat().st_mtime_ns
    again = fresh.run(*args, "--forceall", check=False)
    assert got.stat().st_mtime_ns == stamp, again.stdout


def test_a_run_that_began_with_a_download_is_not_repeated(fresh: Checkout, address: str) -> None:
    old = "https://physionet.org/static/published-projects/ludb"
    fresh.edit("workflow_config.yaml", f"{old}/", f"{address}/")
    fresh.edit("workflow_config.yaml", "parts: 8", "parts: 1")
    fresh.config = ("shards", "--configfile", "configs/ludb.yaml")
    assert fresh.planned() == dict.fromkeys(
        ("fetch", "index_records", "read_records", "write_shard", "shards"), 1
    )
    fresh.make()
    assert fresh.planned() == {}


def test_a_failed_download_says_where_to_put_the_file(fresh: Checkout, address: str) -> None:
    old = "https://physionet.org/static/published-projects/ludb"
    fresh.edit("workflow_config.yaml", f"{old}/", f"{address}/nowhere/")
    done = fresh.run(f"resources/{NAME}", "--configfile", "configs/ludb.yaml", check=False)
    assert done.returncode != 0
    said = [line for line in done.stdout.splitlines() if "ERROR openecg" in line]
    assert said
    assert f"{address}/nowhere/{NAME}" in said[0]
    assert f"resources/{NAME}" in said[0]
    assert not (fresh.root / "resources" / NAME).exists()
