"""The rule graph: every rule and arrow, makers above users, equal graphs equal bytes."""

import itertools
import random
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from openecg.errors import DataError
from openecg.rulegraph import draw_rule_graph, layers, parse_dot, svg

NAMES = ["all", "fetch", "read_records", "train", "write_report", "write_setting", "write_shard"]
EDGES = [(1, 2), (1, 4), (2, 6), (3, 4), (4, 0), (5, 3), (6, 3), (6, 4)]


def _dot(order: list[int], arrows: list[tuple[int, int]]) -> str:
    """Write a graph as Snakemake 9 does; ``order[i]`` is the number of rule i."""
    lines = ["Building DAG of jobs...", "digraph snakemake_dag {", "    graph[bgcolor=white];"]
    lines += [
        f'\t{order[i]}[label = "{name}", color = "0.13 0.6 0.85", style="rounded"];'
        for i, name in enumerate(NAMES)
    ]
    lines += [f"\t{order[a]} -> {order[b]}" for a, b in arrows]
    return "\n".join([*lines, "}            "])


def _boxes(text: str) -> dict[str, tuple[float, float, float]]:
    """Return name -> left, right, top of every box."""
    root = ElementTree.fromstring(text)
    rects = [rect for rect in root.findall(".//{*}rect") if rect.get("rx")]
    names = [element.text or "" for element in root.findall(".//{*}text")]
    found = {}
    for name, rect in zip(names, rects, strict=True):
        left = float(rect.attrib["x"])
        found[name] = (left, left + float(rect.attrib["width"]), float(rect.attrib["y"]))
    return found


def test_snakemakes_text_is_read() -> None:
    assert parse_dot(_dot(list(range(7)), EDGES), source="x.dot") == (NAMES, EDGES)


def test_every_rule_and_arrow_is_drawn_with_makers_above_users() -> None:
    text = svg(NAMES, EDGES)
    boxes = _boxes(text)
    assert sorted(boxes) == NAMES
    assert text.count("marker-end") == len(EDGES)
    for maker, user in EDGES:
        assert boxes[NAMES[maker]][2] < boxes[NAMES[user]][2]


def test_boxes_do_not_overlap_and_stay_inside() -> None:
    rng = random.Random(0)
    names = [f"a_rule_with_number_{i:02d}" for i in range(20)]
    edges = sorted({tuple(sorted(rng.sample(range(20), 2))) for _ in range(40)})
    text = svg(names, edges)  # type: ignore[arg-type]
    width = float(re.search(r'viewBox="0 0 (\S+)', text)[1])  # type: ignore[index]
    rows: dict[float, list[tuple[float, float]]] = {}
    for left, right, top in _boxes(text).values():
        assert left >= 0
        assert right <= width
        rows.setdefault(top, []).append((left, right))
    for row in rows.values():
        row.sort()
        assert all(a[1] < b[0] for a, b in itertools.pairwise(row))


def test_the_numbers_and_order_snakemake_gives_do_not_matter(tmp_path: Path) -> None:
    texts = set()
    for seed in range(4):
        rng = random.Random(seed)
        order, arrows = list(range(7)), list(EDGES)
        rng.shuffle(order)
        rng.shuffle(arrows)
        (tmp_path / "rules.dot").write_text(_dot(order, arrows))
        draw_rule_graph(dot=tmp_path / "rules.dot", figure=tmp_path / "rules.svg")
        texts.add((tmp_path / "rules.svg").read_bytes())
    assert len(texts) == 1


def test_a_source_stands_directly_above_its_first_user() -> None:
    level = layers(len(NAMES), EDGES)
    assert level[NAMES.index("write_setting")] == level[NAMES.index("train")] + 1


def test_a_rule_used_at_two_steps_closes_a_circle_and_is_still_drawn() -> None:
    text = svg(["a", "b", "c"], [(0, 1), (1, 0), (1, 2)])
    assert sorted(_boxes(text)) == ["a", "b", "c"]
    assert text.count("marker-end") == 3


def test_a_single_rule_is_a_graph_and_names_are_escaped() -> None:
    text = svg(["<all> & more"], [])
    assert list(_boxes(text)) == ["<all> & more"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("digraph {\n}\n", "no rule found"),
        ('digraph {\n 0[label = "all"];\n 1 -> 0\n}\n', "arrow to rule 1, but rules are 0"),
    ],
)
def test_another_text_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "rules.dot").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        draw_rule_graph(dot=tmp_path / "rules.dot", figure=tmp_path / "rules.svg")
    assert str(tmp_path / "rules.dot") in str(caught.value)
    assert not (tmp_path / "rules.svg").exists()
