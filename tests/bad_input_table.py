"""Print what each kind of bad input makes the command line say.

``python -m tests.bad_input_table``; the cases are those of ``tests/unit/test_bad_input.py``.
"""

import tempfile
from pathlib import Path

from tests.unit.bad_input_cases import ACCEPTED, CASES, run_case


def main() -> None:
    """Run all cases and print a line for each."""
    for number, case in enumerate([*CASES, *ACCEPTED], 1):
        with tempfile.TemporaryDirectory() as folder:
            outcome = run_case(case, Path(folder) / "case")
            said = outcome.errors if outcome.code else ["accepted", *outcome.warnings]
            line = "; ".join(said).replace(f"{folder}/case/", "")
        print(f"{number:3} {case.title} | {outcome.code} | {line}", flush=True)


if __name__ == "__main__":
    main()
