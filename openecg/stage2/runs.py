"""What each system of a run is: what it learnt from, how, and how it was chosen."""

import json
import logging
from pathlib import Path
from typing import Any

import pandas as pd

from openecg.errors import ConfigError, DataError
from openecg.files import write_tsv
from openecg.stage2.checkpoint import load_checkpoint
from openecg.stage2.settings import BEST, Setting, Training

log = logging.getLogger(__name__)

MASKED, ORIGINAL = "masked", "original"  # unannotated frames: ignored, or none of the waves
COLUMNS = ["system", "trained_on", "training", "selection", "epochs", "batch_size", "parameters"]
COLUMNS += ["precision"]
COLUMNS += ["decoding", "base", "changes"]


def list_runs(*, systems: str, streams: str, models: list[Path], table: Path) -> None:
    """Write a row for each system of a run.

    Parameters
    ----------
    systems : str
        JSON: for each ``SETTING`` and ``SETTING+DECODING`` what its row says of ``decoding``,
        ``base`` and ``changes``.
    streams : str
        JSON: for each system of a token stream its ``method``, ``pacer`` and ``grid``.
    models : list of Path
        A checkpoint of each setting, whatever its seed and records.
    table : Path
        TSV: ``system``; ``trained_on``, data sets with a space between; ``training``, ``masked``
        or ``original`` (unannotated frames count as none of the waves); ``selection``, how the
        epoch was chosen; ``epochs`` (at most, with early stopping) and ``batch_size`` as set;
        ``parameters``, their number; ``precision``, what training computed in; ``decoding``;
        ``base``, what it builds on, and ``changes`` from there. Token streams learn nothing: only
        ``decoding`` is filled.

    Raises
    ------
    ConfigError
        If ``systems`` or ``streams`` is not JSON.
    DataError
        If a checkpoint cannot be read, or a system has none.
    """
    trained = {}
    for path in models:
        network, origin = load_checkpoint(path)
        n_parameters = sum(parameter.numel() for parameter in network.parameters())
        trained[origin.name] = _described(Setting.from_dict(origin.setting)) | {
            "parameters": n_parameters,
            "precision": origin.precision,
        }
    rows: list[dict[str, Any]] = []
    for system, stream in _read("streams", streams).items():
        how = f"NeuroKit {stream['method']}, spikes by {stream['pacer']}, {stream['grid']} grid"
        rows.append({"system": system, "decoding": how})
    for system, said in _read("systems", systems).items():
        setting = system.partition("+")[0]
        if setting not in trained:
            raise DataError(f"{table}: no checkpoint of {setting!r}, which {system!r} needs")
        rows.append({"system": system} | trained[setting] | said)
    runs = pd.DataFrame(rows, columns=COLUMNS)
    numbers = ["epochs", "batch_size", "parameters"]
    write_tsv(runs.astype(dict.fromkeys(numbers, "Int64")), table)
    log.info("%s: %d systems, %d settings", table, len(runs), len(trained))


def selection(training: Training) -> str:
    """Say how the epoch was chosen and what was left out for it."""
    if training.keep == BEST:
        return "best epoch on a tuning fold inside the training records"
    left_out = "" if training.tuning_fold is None else " but a tuning fold"
    return f"last epoch, all training records{left_out}"


def _described(setting: Setting) -> dict[str, Any]:
    """Give the columns that a setting fills."""
    training = setting.training
    return {
        "trained_on": " ".join(setting.train_on),
        "training": MASKED if training.mask_unannotated else ORIGINAL,
        "selection": selection(training),
        "epochs": training.epochs,
        "batch_size": training.batch_size,
    }


def _read(name: str, text: str) -> dict[str, dict[str, Any]]:
    """Read an option that is JSON."""
    try:
        values: dict[str, dict[str, Any]] = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{name}: not JSON: {error}") from error
    return values
