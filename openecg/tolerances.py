"""How far a predicted boundary may lie from an annotated one."""

from openecg.waves import BOUNDARIES

# In ms. 150 ms: ANSI/AAMI EC57, the tolerance of the LUDB literature. The tighter set is the
# convention of the openecg tables, named there after Martinez 2004 (functional-spec.md, 3.3).
TOLERANCES: dict[str, dict[str, float]] = {
    "martinez": {
        "P_on": 50.0,
        "P_off": 50.0,
        "QRS_on": 40.0,
        "QRS_off": 40.0,
        "T_on": 50.0,
        "T_off": 100.0,
    },
    "150ms": dict.fromkeys(BOUNDARIES, 150.0),
}
