"""QTDB's automatic marks against its expert's: a check of the scorer with a known answer."""

import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from openecg.archive import Archive, check_sha256
from openecg.datasets import SIMULATED
from openecg.datasets.base import read_header
from openecg.datasets.qtdb import AUTOMATIC, EXPERT, list_records, read_waves
from openecg.files import write_tsv
from openecg.published import load_published
from openecg.score import SEARCH_MS, average_records, better_lead_errors
from openecg.waves import KINDS, NOT_MARKED, Waves

log = logging.getLogger(__name__)

POINTS = tuple(f"{wave}_{point}" for wave in KINDS.values() for point in ("on", "peak", "off"))
KNOWN_AS = "qtdb"  # the data set of published figures
# A standard deviation needs two points. Counting records with one, as 0, gives the published P row:
# sel36 has a single P wave, 336 ms from the nearest automatic one, which moves the mean by 3 ms.
PROTOCOLS = {
    2: ("ecgpuwave", "better lead per point, average of records with 2 points or more"),
    1: ("ecgpuwave_martinez_2004", "better lead per point, average of all records with a point"),
}


def score_automatic(*, archive: Path, sha256: str, dataset: str, table: Path) -> None:
    """Score the ecgpuwave marks of QTDB (pu0, pu1) against the expert's (q1c).

    The classical protocol: each annotated point takes the nearest automatic mark of its kind in
    either lead, up to 400 ms away; means and standard deviations are taken over each record, then
    averaged over records.

    Parameters
    ----------
    archive : Path
        Zip of QTDB.
    sha256 : str
        Its published sum; ``""`` if there is none.
    dataset : str
        Its name, whatever its windows; figures published for QTDB are put beside if it is real.
    table : Path
        TSV to write: one row per protocol and point.

    Raises
    ------
    DataError
        If the archive or one of its files cannot be read, or it is not that of ``sha256``.
    """
    errors: dict[str, list[npt.NDArray[np.float64]]] = {point: [] for point in POINTS}
    check_sha256(archive, sha256)
    with Archive(archive) as zipped:
        records = [record.record_id for record in list_records(zipped)]
        for record_id in records:
            fs_hz = read_header(zipped, record_id).fs_hz
            truth = read_waves(zipped, record_id, EXPERT)
            leads = [read_waves(zipped, record_id, extension) for extension in AUTOMATIC]
            for point in POINTS:
                leads_ms = [_times_ms(lead, point, fs_hz) for lead in leads]
                truth_ms = _times_ms(truth, point, fs_hz)
                errors[point].append(better_lead_errors(truth_ms, leads_ms, search_ms=SEARCH_MS))
    published = load_published()
    name = dataset if dataset.startswith(SIMULATED) else KNOWN_AS
    rows = []
    for min_points, (system, protocol) in PROTOCOLS.items():
        known = published[(published["system"] == system) & (published["dataset"] == name)]
        for point in POINTS:
            scored = average_records(errors[point], min_points=min_points)
            figures = known[known["target"] == point]
            values = dict(zip(figures["metric"], figures["value"], strict=True))
            sources = (figures["source"] + " " + figures["tag"]).unique()
            rows.append(
                {
                    "boundary": point,
                    "protocol": protocol,
                    "search_ms": SEARCH_MS,
                    "n_records": scored.n_records,
                    "n_points": scored.n_points,
                    "sensitivity": scored.sensitivity,
                    "mean_ms": scored.mean_ms,
                    "sd_ms": scored.sd_ms,
                    "published_mean_ms": values.get("mean_ms", np.nan),
                    "published_sd_ms": values.get("sd_ms", np.nan),
                    "source": "; ".join(sources),
                }
            )
    write_tsv(pd.DataFrame(rows), table)
    log.info("%s: %d rows from %d records", table, len(rows), len(records))


def _times_ms(waves: Waves, point: str, fs_hz: float) -> npt.NDArray[np.float64]:
    """Give the times in ms of one kind of point, such as ``T_peak``, where it is marked."""
    wave, mark = point.split("_")
    samples = {"on": waves.on, "peak": waves.peak, "off": waves.off}[mark]
    code = next(code for code, name in KINDS.items() if name == wave)
    chosen = (waves.kind == code) & (samples != NOT_MARKED)
    times: npt.NDArray[np.float64] = samples[chosen] * (1000.0 / fs_hz)
    return times
