"""Throughput of the codec, tokenising, scoring, reading and training: ``make bench``.

Prints tables and writes nothing; ends with exit code 1 if one of them does not keep its limit.
Times of codec, tokenising and scoring are of the processor on one core, medians of rounds, of
tokenising all rounds together; reading and training are by the clock.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from benchmarks.scoring import scoring_rows
from benchmarks.training import VERDICTS, reading_rows, training_rows
from openecg.codec import decode, decode_many, encode, encode_many
from openecg.leads import LEADS
from openecg.simulation import KINDS, simulate_strip
from openecg.speed import ROUNDS, STRIP_S, read_strips, time_tokens
from openecg.table_text import aligned
from openecg.tokens import tokenize_strip

CONFIG = Path(__file__).parents[1] / "workflow_config.yaml"
FS_HZ = 500.0
SHARD_LEADS = 3000  # a shard of LUDB holds 300; more give a steadier clock
CODEC_ROUNDS = 7
MOST_ROUNDS = 40
WIDTH = 110
TABLES = ("codec", "tokenising", "scoring", "reading", "training")
LEAST_LEADS_PER_S = 1000  # of the codec, each way
MOST_RATIO = 1.15  # of tokenising to bare NeuroKit

Floats = npt.NDArray[np.float64]
Streams = dict[str, dict[str, str]]


def main(argv: list[str] | None = None) -> int:
    """Read the options, run the benchmarks, print their tables; 1 if a limit is not kept."""
    parser = argparse.ArgumentParser("python -m benchmarks.bench", description=__doc__)
    parser.add_argument("--records", type=Path, help="records Parquet; simulated ones without it")
    parser.add_argument("--zip", type=Path, help="zip in the layout of LUDB; simulated without it")
    parser.add_argument("--leads", type=int, default=24, help="leads to tokenise, whole records")
    parser.add_argument("--seconds", type=float, default=12, help="about so long for each stream")
    parser.add_argument("--only", nargs="+", choices=TABLES, default=TABLES, metavar="TABLE")
    options = parser.parse_args(argv)
    streams = yaml.safe_load(CONFIG.read_text())["streams"]
    if options.records is None:
        strips, fs_hz, data = simulated_strips(options.leads), FS_HZ, "simulated records"
    else:
        strips, fs_hz = read_strips(options.records, leads=options.leads)
        data = f"records of {options.records}"
    n_leads = sum(map(len, strips))
    print(f"{len(strips)} {data}: {n_leads} leads of {STRIP_S} s at {fs_hz:g} Hz\n")
    measures: dict[str, Callable[[], tuple[list[list[str]], bool]]] = {
        "codec": lambda: codec_rows(strips, fs_hz=fs_hz),
        "tokenising": lambda: token_rows(strips, streams, fs_hz=fs_hz, seconds=options.seconds),
        "scoring": scoring_rows,
        "reading": lambda: reading_rows(options.zip),
        "training": training_rows,
    }
    kept = True
    for name in (name for name in TABLES if name in options.only):
        rows, within = measures[name]()
        print_table(rows)
        print(flush=True)
        kept &= within
    print(f"limits: {VERDICTS[kept]}")
    return 0 if kept else 1


def simulated_strips(leads: int) -> list[Floats]:
    """Simulate records of 12 leads, of one kind of heart after the other."""
    rng = np.random.default_rng(0)
    n_records = -(-leads // len(LEADS))
    return [
        simulate_strip(
            KINDS[i % len(KINDS)],
            leads=LEADS,
            fs_hz=FS_HZ,
            n_samples=round(STRIP_S * FS_HZ),
            scatter=True,
            rng=rng,
        ).signal
        for i in range(n_records)
    ]


def codec_rows(strips: list[Floats], *, fs_hz: float) -> tuple[list[list[str]], bool]:
    """Time the codec on the streams of the strips, repeated to a large shard."""
    ways = {"method": "prominence", "pacer": "coincidence", "grid": "nearest"}
    found = [row["words"] for strip in strips for row in tokenize_strip(strip, fs_hz=fs_hz, **ways)]
    streams = [found[i % len(found)] for i in range(SHARD_LEADS)]
    events = [decode(words) for words in streams]
    words = np.concatenate(streams)
    offsets = np.cumsum([0, *map(len, streams)])
    symbols, ms, ends = decode_many(words, offsets)
    head = ["codec", "leads of 10 s per second", "least and most", "limit", "verdict"]
    rows, verdicts = [head], []
    for name, work in (
        ("encode, each lead alone", lambda: [encode(each) for each in events]),
        ("decode, each lead alone", lambda: [decode(each) for each in streams]),
        ("encode, whole shard", lambda: encode_many(symbols, ms, ends)),
        ("decode, whole shard", lambda: decode_many(words, offsets)),
    ):
        rate = SHARD_LEADS / _seconds(work, CODEC_ROUNDS)
        verdicts.append(bool(np.median(rate) >= LEAST_LEADS_PER_S))
        cells = [f"{np.median(rate):,.0f}", f"{rate.min():,.0f} to {rate.max():,.0f}"]
        rows.append([name, *cells, f"at least {LEAST_LEADS_PER_S:,}", VERDICTS[verdicts[-1]]])
    return rows, all(verdicts)


def token_rows(
    strips: list[Floats], streams: Streams, *, fs_hz: float, seconds: float
) -> tuple[list[list[str]], bool]:
    """Time each token stream beside the bare calls of NeuroKit; fast ones in more rounds."""
    head = ["tokenising", "ms per lead", "NeuroKit", "ratio", "least and most"]
    rows, verdicts = [[*head, "rounds", "limit", "verdict"]], []
    for name, ways in streams.items():
        probe = time_tokens(strips[:1], fs_hz=fs_hz, **ways, rounds=1)
        round_s = float((probe.ours_s + probe.neurokit_s).sum()) * len(strips)
        rounds = int(np.clip(seconds / round_s, ROUNDS, MOST_ROUNDS)) // 2 * 2
        times = time_tokens(strips, fs_hz=fs_hz, **ways, rounds=rounds)
        verdicts.append(times.ratio <= MOST_RATIO)
        rows.append(
            [
                name,
                f"{times.ms_per_lead:.2f}",
                f"{times.neurokit_ms_per_lead:.2f}",
                f"{times.ratio:.3f}",
                f"{times.ratios.min():.3f} to {times.ratios.max():.3f}",
                f"{rounds}",
                f"{MOST_RATIO}",
                VERDICTS[verdicts[-1]],
            ]
        )
    return rows, all(verdicts)


def print_table(rows: list[list[str]]) -> None:
    """Print cells in columns, numbers to the right."""
    right = [False, *[True] * (len(rows[0]) - 1)]
    print("\n".join(aligned(rows, right=right, width=WIDTH)), flush=True)


def _seconds(work: Callable[[], Any], rounds: int) -> Floats:
    """Time several calls after one that is not counted."""
    work()
    spent = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return np.array(spent)


if __name__ == "__main__":
    sys.exit(main())
