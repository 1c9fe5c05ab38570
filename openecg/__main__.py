"""Run one step, ``python -m openecg STEP --option value ...``, or ``show`` a file."""

import argparse
import importlib
import inspect
import logging
import signal
import sys
import types
from typing import Any, Union, get_args, get_origin, get_type_hints

from openecg.errors import STORAGE_ERRORS, ConfigError, DataError

STEPS = {
    "simulate": "openecg.simulate:simulate",
    "fetch": "openecg.fetch:fetch",
    "index-records": "openecg.index:index_records",
    "read-records": "openecg.records:read_records",
    "write-shard": "openecg.shards:write_shard",
    "write-tokens": "openecg.tokens:write_tokens",
    "time-streams": "openecg.speed:time_streams",
    "time-models": "openecg.stage2.timing:time_models",
    "predict-tokens": "openecg.baseline:predict_tokens",
    "write-setting": "openecg.stage2.settings:write_setting",
    "train": "openecg.stage2.train:train",
    "predict": "openecg.stage2.predict:predict",
    "decode": "openecg.stage2.decode:decode",
    "score-decoding-grid": "openecg.stage2.decoding_grid:score_decoding_grid",
    "calibrate": "openecg.stage2.calibration:calibrate",
    "score-frames": "openecg.metrics:score_frames",
    "score-boundaries": "openecg.metrics:score_boundaries",
    "score-classical": "openecg.classical:score_classical",
    "collect-metrics": "openecg.metrics:collect_metrics",
    "list-runs": "openecg.stage2.runs:list_runs",
    "tabulate-numbers": "openecg.numbers:tabulate_numbers",
    "write-table": "openecg.tabulate:write_table",
    "compare-systems": "openecg.effects:compare_systems",
    "compare-streams": "openecg.ablation:compare_streams",
    "tabulate-stage1": "openecg.stage1:tabulate_stage1",
    "score-pacing": "openecg.pacing_table:score_pacing",
    "time-spikes": "openecg.pacing_table:time_spikes",
    "score-automatic": "openecg.automatic:score_automatic",
    "draw-rule-graph": "openecg.rulegraph:draw_rule_graph",
    "write-model-card": "openecg.model_card:write_model_card",
    "write-report": "openecg.report.page:write_report",
    "print-headline": "openecg.headline:print_headline",
}
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
SHOW = "show"  # for people, not for rules: its path needs no option name
COMMANDS = STEPS | {SHOW: "openecg.show:show"}


def _option(kind: Any) -> dict[str, Any]:
    """Turn the type of a parameter into what argparse needs to read it."""
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(arg for arg in get_args(kind) if arg is not type(None))
    if get_origin(kind) is list:
        return {"type": get_args(kind)[0], "nargs": "*"}
    if kind is bool:
        return {"type": {"true": True, "false": False}.__getitem__, "metavar": "true|false"}
    return {"type": kind}


def main(argv: list[str]) -> int:
    """Call the function behind a step with options named after its parameters."""
    if not argv or argv[0] not in COMMANDS:
        print(
            "usage: python -m openecg STEP [options]\n"
            "       python -m openecg show PATH [--record ID] [--lead NAME] [--width N]\n"
            "                                   [--where COLUMN=VALUE ...] [--rows N]\n"
            "steps:",
            *STEPS,
            sep="\n  ",
            file=sys.stderr,
        )
        return 2
    from openecg.made import made_by  # takes half a second, in which Ctrl-C may come

    module, name = COMMANDS[argv[0]].split(":")
    func = getattr(importlib.import_module(module), name)
    parser = argparse.ArgumentParser(
        f"python -m openecg {argv[0]}",
        description=inspect.getdoc(func),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    defaults = inspect.signature(func).parameters
    for option, kind in get_type_hints(func).items():
        if argv[0] == SHOW and option == "path":
            parser.add_argument(option, metavar="PATH", type=kind)
        elif option != "return":
            default = defaults[option].default
            required = default is inspect.Parameter.empty
            parser.add_argument(
                "--" + option.replace("_", "-"),
                required=required,
                default=None if required else default,
                **_option(kind),
            )
    told = "show: %(message)s" if argv[0] == SHOW else LOG_FORMAT
    logging.basicConfig(level="INFO", format=told)
    logging.captureWarnings(True)
    options = vars(parser.parse_args(argv[1:]))
    try:
        if argv[0] == SHOW:
            func(**options)
        else:
            with made_by(argv[0], func, options):
                func(**options)
    except (ConfigError, DataError) as error:
        logging.getLogger("openecg").error("%s", error)
        return 1
    except OSError as error:
        if error.errno not in STORAGE_ERRORS:
            raise
        logging.getLogger("openecg").error("%s: %s", error.filename or "a file", error.strerror)
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        print("openecg: stopped by Ctrl-C", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
