"""A simulated data set for benchmarks, as a zip and as a shard."""

from pathlib import Path

from openecg.index import index_records
from openecg.records import read_records
from openecg.shards import write_shard
from openecg.simulate import simulate

DATASET = "simulated_ludb"


GRID = {"fs_hz": 250.0, "frame_ms": 20.0, "window_s": 10.0}


def simulated_shard(folder: Path, *, records: int) -> tuple[Path, Path]:
    """Write a zip of simulated records in the layout of LUDB, and all of them as one shard."""
    archive = folder / "ludb.zip"
    simulate(layout="ludb", records=records, seed=0, archive=archive)
    return archive, write_shards(archive, folder)


def write_shards(archive: Path, folder: Path) -> Path:
    """Write all records of a zip in the layout of LUDB as one shard."""
    index, records, shard = folder / "index", folder / "records", folder / "shard"
    index_records(
        archive=archive,
        dataset=DATASET,
        layout="ludb",
        parts=1,
        split="rhythm",
        held_out="validation",
        fraction=0.2,
        seed=0,
        sha256="",
        index=index,
    )
    read_records(archive=archive, index=index, layout="ludb", part=0, records=records)
    write_shard(records=records, shard=shard, windows='{"rule": "cover"}', **GRID)
    return shard
