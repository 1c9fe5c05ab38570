"""The form in which a model writes what it makes of each label of a window."""

import pyarrow as pa

PROBABILITY_SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("record_id", pa.string()),
        ("lead", pa.string()),
        ("window", pa.int32()),
        ("split", pa.string()),
        ("system", pa.string()),
        ("seed", pa.string()),
        ("fs_hz", pa.float64()),
        ("native_fs_hz", pa.float64()),  # of the record, whose marks end with one of its samples
        ("label_ms", pa.float64()),
        ("probabilities", pa.list_(pa.float16())),  # n_labels x 4: other, P, QRS, T
        ("offsets", pa.list_(pa.float16())),  # n_labels x 6, in samples at fs_hz; null without
    ]
)
