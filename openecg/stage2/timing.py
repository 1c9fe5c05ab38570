"""What models cost beside NeuroKit, on the same leads in one process and on one thread."""

import json
import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from openecg.errors import ConfigError
from openecg.files import write_tsv
from openecg.leads import LEADS
from openecg.signals import resample, z_score
from openecg.speed import ROUNDS, Floats, bare_neurokit, cpu_seconds, read_strips
from openecg.stage2.checkpoint import Origin, load_checkpoint
from openecg.stage2.decode import KEYS, Probabilities, decode_labels, place_waves
from openecg.stage2.decoding import Decoding
from openecg.stage2.engine import run_network
from openecg.stage2.network import Network
from openecg.stage2.settings import ANY_LEADS

log = logging.getLogger(__name__)

BESIDE = ("dwt", "prominence")  # methods of NeuroKit: its default, and the best on raw signals


def time_models(
    *, models: list[Path], decodings: str, records: Path, dataset: str, leads: int, table: Path
) -> None:
    """Write what models cost, from leads as recorded to waves, beside bare NeuroKit.

    Parameters
    ----------
    models : list of Path
        Files of ``train``.
    decodings : str
        Values of the `Decoding` of each model, as a JSON list: how it cleans and places waves. How
        many leads, shifts and seeds it takes, and the length of its labels, are not looked at.
    records : Path
        One row per record and lead at its native rate (``read-records``).
    dataset : str
        Name of their data set.
    leads : int
        How many leads to time, rounded up to whole records.
    table : Path
        TSV to write, one row per model and number of leads that it sees at a time (0: all of a
        record), and one per method of NeuroKit: ``dataset system leads n_timed ms_per_lead``, the
        share of the time of each method, and the parameters of the model. Times are means over four
        rounds in which all take turns record by record, of the processor, on one thread; for
        strips of 10 s.

    Raises
    ------
    ConfigError
        If ``leads`` is not positive, there are not as many decodings as models, or a value of one
        is not as documented.
    DataError
        As `read_strips` and `load_checkpoint`.
    """
    if leads < 1:
        raise ConfigError(f"leads must be 1 or more, got {leads}")
    strips, fs_hz = read_strips(records, leads=leads)
    works: dict[tuple[str, int], Callable[[Floats], None]] = {
        (f"nk_{method}", 1): _neurokit(method, round(fs_hz)) for method in BESIDE
    }
    parameters = {}
    hows = [Decoding.from_json(json.dumps(values)) for values in json.loads(decodings)]
    if len(hows) != len(models):
        raise ConfigError(f"{len(hows)} decodings, but {len(models)} models")
    for path, how in zip(models, hows, strict=True):
        network, origin = load_checkpoint(path)
        parameters[origin.name] = sum(p.numel() for p in network.parameters())
        any_leads = origin.setting["training"]["leads"] == ANY_LEADS
        for at_a_time in (0, 1) if any_leads else (1,):
            key = (origin.name, at_a_time)
            works[key] = _model(network, origin, how, fs_hz=fs_hz, leads=at_a_time)
    spent = time_in_turns(list(works.values()), strips)
    n_timed = sum(map(len, strips))
    ms = dict(zip(works, spent.mean(axis=1) * 1000 / n_timed, strict=True))
    rows = []
    for system, at_a_time in works:
        row: dict[str, object] = {"dataset": dataset, "system": system, "leads": at_a_time}
        row |= {"n_timed": n_timed, "ms_per_lead": ms[system, at_a_time]}
        for method in BESIDE:
            row[f"share_of_nk_{method}"] = ms[system, at_a_time] / ms[f"nk_{method}", 1]
        rows.append(row | {"parameters": parameters.get(system)})
        log.info("%s: %s", table, ", ".join(f"{key} {value}" for key, value in row.items()))
    write_tsv(pd.DataFrame(rows).astype({"parameters": "Int64"}), table)


def time_in_turns(works: list[Callable[[Floats], None]], strips: list[Floats]) -> Floats:
    """Let all work on each strip before the next, in an order that turns, after a warm-up.

    Parameters
    ----------
    works : list of callable
        Each takes the leads of a strip.
    strips : list of ndarray of shape (n_leads, n_samples), dtype float64

    Returns
    -------
    ndarray of shape (n_works, rounds), dtype float64
        Seconds of the processor for all strips.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    spent = np.zeros((len(works), ROUNDS))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NeuroKit warns of every lead it finds difficult
            for work in works:
                work(strips[0])
            for turn in range(ROUNDS):
                for i, strip in enumerate(strips):
                    for k in range(len(works)):
                        at = (k + i + turn) % len(works)
                        spent[at, turn] += cpu_seconds(works[at], strip)
    finally:
        torch.set_num_threads(threads)
    return spent


def _neurokit(method: str, fs_hz: int) -> Callable[[Floats], None]:
    def work(strip: Floats) -> None:
        for lead in strip:
            bare_neurokit(lead, fs_hz=fs_hz, method=method)

    return work


def _model(
    network: Network, origin: Origin, how: Decoding, *, fs_hz: float, leads: int
) -> Callable[[Floats], None]:
    """Delineate the leads of a strip, so many at a time, 0: all."""
    label_ms = network.samples_per_label * 1000 / origin.fs_hz

    def work(strip: Floats) -> None:
        moved = [resample(lead, fs_in_hz=fs_hz, fs_out_hz=origin.fs_hz) for lead in strip]
        signal = np.stack(moved)[:, : origin.n_samples]
        scaled = torch.from_numpy(z_score(signal))
        n_leads = len(strip)
        index = torch.arange(n_leads) % len(LEADS)
        outs = [
            run_network(network, scaled[group], index[group], torch.arange(len(group))[None])
            for group in torch.split(torch.arange(n_leads), leads or n_leads)
        ]
        offsets = [out.offsets for out in outs if out.offsets is not None]
        none = np.empty((n_leads, 0, 6), dtype=np.float32)
        rows = pd.DataFrame({key: np.zeros(n_leads) for key in KEYS})
        windows = Probabilities(
            path=Path(origin.name),
            rows=rows.assign(lead=np.arange(n_leads), native_fs_hz=fs_hz),
            label_ms=label_ms,
            fs_hz=origin.fs_hz,
            classes=torch.cat([out.logits.softmax(dim=2) for out in outs]).numpy(),
            offsets=torch.cat(offsets).numpy() if offsets else none,
        )
        for row, labels in enumerate(decode_labels(windows, signal, how)):
            place_waves(windows, signal, how, row, labels)

    return work
