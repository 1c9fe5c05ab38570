"""Rows of metric tables."""

import pandas as pd


def where(table: pd.DataFrame, **wanted: object) -> pd.DataFrame:
    """Return the rows whose columns have these values."""
    for column, value in wanted.items():
        table = table[(table[column] == value).to_numpy()]
    return table
