"""The form in which every system, NeuroKit or model, writes what it found."""

from collections.abc import Iterable

import pyarrow as pa

PREDICTION_SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("record_id", pa.string()),
        ("lead", pa.string()),
        ("window", pa.int32()),
        ("split", pa.string()),
        ("system", pa.string()),
        ("seed", pa.string()),
        ("frames", pa.list_(pa.uint8())),
        ("wave_kind", pa.list_(pa.uint8())),
        ("on_ms", pa.list_(pa.float64())),
        ("off_ms", pa.list_(pa.float64())),
        ("wave_probability", pa.list_(pa.float32())),  # null from token streams
    ]
)


def strip_name(key: Iterable[object]) -> str:
    """Name a strip for messages, by its data set, record, lead and window."""
    dataset, record_id, lead, window = key
    return f"{dataset} record {record_id} lead {lead} window {window}"
