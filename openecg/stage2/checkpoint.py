"""Weights and all that is needed to use them, in one safetensors file; nothing is unpickled."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_origin

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from openecg.errors import ConfigError, DataError
from openecg.files import written_aside
from openecg.made import NOTE, current_note
from openecg.stage2.engine import build_model
from openecg.stage2.losses import CLASSES
from openecg.stage2.network import Network
from openecg.stage2.settings import Setting

KEY = "openecg"  # one metadata entry, because the format keeps several in no fixed order
FORMAT = "openecg delineator"


@dataclass(frozen=True)
class Origin:
    """Where a model comes from and what it takes in.

    Attributes
    ----------
    name : str
        Name of the setting.
    setting : dict
        Its values, as `openecg.stage2.settings.Setting.to_dict` gives them.
    scheme : str
        Which records it learnt from (`openecg.selection`).
    seed : int
        Seed of the training.
    code : str
        Hash of the code that trained it.
    data : str
        Hash of the training windows.
    fs_hz : float
        Sampling rate in Hz.
    n_samples : int
        Samples of a window.
    precision : str
        What the steps computed in, ``bfloat16`` or ``float32``.
    buffer : int
        How many windows were shuffled together; 0: all.

    Raises
    ------
    TypeError
        If a value is of another type.
    """

    name: str
    setting: dict[str, Any]
    scheme: str
    seed: int
    code: str
    data: str
    fs_hz: float
    n_samples: int
    precision: str
    buffer: int

    def __post_init__(self) -> None:
        """Refuse what a foreign file may hold."""
        for field in fields(self):
            value, kind = getattr(self, field.name), get_origin(field.type) or field.type
            if not isinstance(value, float | int if kind is float else kind):  # type: ignore[arg-type]
                raise TypeError(f"{field.name}: {value!r} is not {field.type}")


def write_tensors(tensors: Mapping[str, Tensor], content: Mapping[str, Any], path: Path) -> None:
    """Write tensors and a JSON object, whole or not at all; equal content gives equal bytes.

    What made the file is noted in it, if a step is being run, commit and versions among it;
    `read_tensors` leaves that out.
    """
    if current_note():
        content = {**content, NOTE: json.loads(current_note())}
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {KEY: json.dumps(content, sort_keys=True)}
    with written_aside(path) as aside:
        aside.write_bytes(safetensors.torch.save(plain, metadata))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file of `write_tensors`.

    Raises
    ------
    DataError
        If it is not there, not safetensors, cut short, or not from this project.
    """
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path}: not a readable safetensors file: {error}") from error
    try:
        content = json.loads(metadata.get(KEY, "null"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: openecg metadata is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: no openecg metadata; found {sorted(metadata)}")
    content.pop(NOTE, None)
    return tensors, content


def save_checkpoint(weights: Mapping[str, Tensor], origin: Origin, path: Path) -> None:
    """Write a trained model.

    Parameters
    ----------
    weights : mapping of str to Tensor
        The state of the network.
    origin : Origin
        Its setting, seed and input.
    path : Path
        Safetensors file to write.
    """
    content = asdict(origin) | {"format": FORMAT, "classes": CLASSES}
    write_tensors(weights, content, path)


def load_checkpoint(path: Path) -> tuple[Network, Origin]:
    """Read a trained model.

    Returns
    -------
    network : Network
        On the CPU.
    origin : Origin
        Its setting, seed and input.

    Raises
    ------
    DataError
        If the file is damaged or foreign, of another format or other classes, or its weights do
        not fit its setting.
    """
    weights, content = read_tensors(path)
    for key, wanted in (("format", FORMAT), ("classes", list(CLASSES))):
        found = content.pop(key, None)
        if found != wanted:
            raise DataError(f"{path}: {key} {found!r}; this version reads {wanted!r}")
    try:
        origin = Origin(**content)
        with torch.device("meta"):
            network = build_model(Setting.from_dict(origin.setting).model)
        for name, tensor in network.state_dict().items():
            found = weights.get(name, tensor)
            if (found.dtype, found.shape) != (tensor.dtype, tensor.shape):
                raise TypeError(
                    f"{name} is {found.dtype} {list(found.shape)}, but the setting needs "
                    f"{tensor.dtype} {list(tensor.shape)}"
                )
        network.load_state_dict(weights, assign=True)
    except (TypeError, ConfigError, ModuleNotFoundError, RuntimeError) as error:
        raise DataError(f"{path}: does not hold its model: {error}") from error
    return network, origin
