"""Known figures of NeuroKit on the 41 validation records of LUDB, through the real steps."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pytest

from openecg.baseline import predict_tokens
from openecg.files import read_parquet, read_tsv, write_parquet
from openecg.metrics import score_boundaries, score_frames
from openecg.shards import write_shard
from openecg.tokens import write_tokens

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(scope="module")
def ludb(
    real_zip: Callable[[str], Path],
    make_records: Callable[[Path, Path], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("ludb")
    make_records(real_zip("ludb"), folder)
    write_shard(
        records=folder / "records.parquet",
        shard=folder / "shard.parquet",
        fs_hz=250,
        frame_ms=20,
        window_s=10,
        windows='{"rule": "cover"}',
    )
    records = read_parquet(folder / "records.parquet")
    held_out = records.filter(pc.equal(records["split"], "validation"))
    write_parquet(held_out, folder / "validation.parquet")
    return folder


def scores(folder: Path, method: str, pacer: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Frame and boundary scores of one method, all leads."""
    tokens, predictions = folder / f"{method}.tokens", folder / f"{method}.predictions"
    write_tokens(
        records=folder / "validation.parquet",
        tokens=tokens,
        stream=method,
        method=method,
        pacer=pacer,
        window_s=10,
        windows='{"rule": "cover"}',
    )
    predict_tokens(
        tokens=[tokens], split="validation", frame_ms=20, n_frames=500, predictions=predictions
    )
    tables = []
    for step in (score_frames, score_boundaries):
        table = folder / f"{method}.{step.__name__}.tsv"
        step(
            predictions=[predictions],
            shards=[folder / "shard.parquet"],
            table=table,
            bootstrap=10,
            seed=0,
        )
        scored = read_tsv(table)
        every = (scored["lead_group"] == "all") & (scored["record_group"] == "all")
        tables.append(scored[every])
    return tables[0], tables[1]


def test_share_of_the_window_that_is_annotated(ludb: Path) -> None:
    rows = read_parquet(ludb / "shard.parquet", columns=["span_on_ms", "span_off_ms"])
    share = np.mean(rows["span_off_ms"].to_numpy() - rows["span_on_ms"].to_numpy()) / 10_000
    assert share == pytest.approx(0.731, abs=0.0005)


def test_dwt_as_in_the_original_has_its_published_frame_f1(ludb: Path) -> None:
    frames, _ = scores(ludb, "dwt", "high_pass")
    for protocol, published in (
        ("full_window", {"P": 0.492, "QRS": 0.666, "T": 0.512}),
        ("annotated_span", {"P": 0.561, "QRS": 0.733, "T": 0.569}),
    ):
        f1 = frames[frames["protocol"] == protocol].set_index("wave")["f1"]
        for wave, value in published.items():
            assert f1[wave] == pytest.approx(value, abs=0.005), (protocol, wave)


def test_clean_prominence_is_the_strong_baseline(ludb: Path) -> None:
    _, boundaries = scores(ludb, "clean_prominence", "coincidence")
    rows = boundaries.query(
        "protocol == 'annotated_span' and tolerance == 'martinez' and boundary == 'macro'"
    )
    assert rows["f1"].item() == pytest.approx(0.80, abs=0.02)
