"""Fixtures shared by all tests."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from openecg.index import index_records
from openecg.records import read_records

# A test that holds is not to fail because the machine is busy.
settings.register_profile("default", deadline=None)
settings.load_profile("default")
settings.register_profile("long", max_examples=10_000, deadline=None)  # ten minutes of fuzzing

ROOT = Path(__file__).parents[1]
REAL_ZIPS = {
    "ludb": "lobachevsky-university-electrocardiography-database-1.0.1.zip",
    "qtdb": "qt-database-1.0.0.zip",
}


@pytest.fixture
def torch_as_it_was() -> Iterator[None]:
    """Give torch its threads back, and its algorithms, after a test of what sets them."""
    import torch  # slow, for tests that need none

    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="session")
def real_zip() -> Callable[[str], Path]:
    """Find the zip of a real data set in resources/, $OPENECG_DATA or ../shared/data, or skip."""
    elsewhere = os.environ.get("OPENECG_DATA")
    folders = [ROOT / "resources", *([Path(elsewhere)] if elsewhere else [])]
    folders.append(ROOT.parent / "shared" / "data")

    def find(dataset: str) -> Path:
        for folder in folders:
            if (folder / REAL_ZIPS[dataset]).exists():
                return folder / REAL_ZIPS[dataset]
        pytest.skip(
            f"real {dataset} data is not here: put {REAL_ZIPS[dataset]} into resources/, or into "
            "the folder that OPENECG_DATA names"
        )

    return find


@pytest.fixture(scope="session")
def make_records() -> Callable[[Path, Path], Path]:
    """Read all records of the LUDB zip into one file in a folder."""

    def make(archive: Path, folder: Path) -> Path:
        index, records = folder / "index.parquet", folder / "records.parquet"
        index_records(
            archive=archive,
            sha256="",
            dataset="ludb",
            layout="ludb",
            parts=1,
            split="rhythm",
            held_out="validation",
            fraction=0.2,
            seed=42,
            index=index,
        )
        read_records(archive=archive, index=index, layout="ludb", part=0, records=records)
        return records

    return make
