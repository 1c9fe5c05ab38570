"""ECG delineation, from raw dataset zips to metric tables."""

__version__ = "0.1.0"
