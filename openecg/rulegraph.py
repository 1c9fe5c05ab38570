"""Draw the rule graph that Snakemake prints, without graphviz."""

import itertools
import logging
import re
from html import escape
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression

from openecg.errors import DataError
from openecg.files import written_aside

log = logging.getLogger(__name__)

NODE = re.compile(r'^\s*(\d+)\s*\[label\s*=\s*"((?:[^"\\]|\\.)*)"')
EDGE = re.compile(r"^\s*(\d+)\s*->\s*(\d+)\s*;?\s*$")

BOX_HEIGHT, LAYER_STEP, GAP, MARGIN = 30.0, 64.0, 22.0, 12.0  # px
LETTER = 7.6  # px, the width of a letter at the font size used
PASS_WIDTH = 10.0  # px, kept free for an edge that passes a layer
SWEEPS = 12  # the order settles within a few


def draw_rule_graph(*, dot: Path, figure: Path) -> None:
    """Draw ``dot``, the text of ``snakemake --rulegraph dot``, as an SVG.

    Raises
    ------
    DataError
        If ``dot`` holds no rule, or an arrow from or to a rule it does not name.
    """
    names, edges = parse_dot(dot.read_text(encoding="utf-8"), source=str(dot))
    with written_aside(figure) as aside:
        aside.write_text(svg(names, edges), encoding="utf-8")
    log.info("%s: %d rules, %d arrows", figure, len(names), len(edges))


def parse_dot(text: str, *, source: str) -> tuple[list[str], list[tuple[int, int]]]:
    """Read rule names and arrows; lines of any other kind are no part of the graph.

    Parameters
    ----------
    text : str
        What ``snakemake --rulegraph dot`` prints.
    source : str
        Where it came from, for messages.

    Returns
    -------
    names : list of str
        Sorted, so that the numbers Snakemake happens to give do not matter.
    edges : list of (int, int)
        Positions in ``names``, maker before user; sorted, without loops and doubles.
    """
    labels = {}
    arrows = []
    for line in text.splitlines():
        if node := NODE.match(line):
            labels[node[1]] = node[2].replace("\\n", " ").replace('\\"', '"')
        elif edge := EDGE.match(line):
            arrows.append((edge[1], edge[2]))
    if not labels:
        raise DataError(f"{source}: no rule found; want the text of snakemake --rulegraph dot")
    unknown = {end for arrow in arrows for end in arrow} - set(labels)
    if unknown:
        raise DataError(
            f"{source}: arrow to rule {min(unknown)}, but rules are {', '.join(labels)}"
        )
    order = sorted(labels, key=lambda key: (labels[key], int(key)))
    place = {key: i for i, key in enumerate(order)}
    edges = sorted({(place[a], place[b]) for a, b in arrows if a != b})
    return [labels[key] for key in order], edges


def layers(n_nodes: int, edges: list[tuple[int, int]]) -> list[int]:
    """Give each node the length of its longest way to an end of the graph.

    An arrow that closes a circle (a rule that appears at several steps) does not count.
    """
    users: list[list[int]] = [[] for _ in range(n_nodes)]
    for maker, user in edges:
        users[maker].append(user)
    depth: dict[int, int] = {}

    def visit(node: int, way: frozenset[int]) -> int:
        if node not in depth:
            below = [visit(user, way | {node}) for user in users[node] if user not in way]
            depth[node] = 1 + max(below, default=-1)
        return depth[node]

    for node in range(n_nodes):
        visit(node, frozenset([node]))
    return [depth[node] for node in range(n_nodes)]


def _spread(
    wanted: npt.NDArray[np.float64], widths: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Place boxes in the given order as near to ``wanted`` (px) as their widths allow."""
    steps = (widths[:-1] + widths[1:]) / 2 + GAP
    offsets = np.concatenate([[0.0], np.cumsum(steps)])
    placed: npt.NDArray[np.float64] = isotonic_regression(wanted - offsets).x + offsets
    return placed


def svg(names: list[str], edges: list[tuple[int, int]]) -> str:
    """Draw rules in layers, makers above users; equal graphs give equal text.

    Parameters
    ----------
    names : list of str
    edges : list of (int, int)
        Positions in ``names``, maker before user.

    Returns
    -------
    str
        SVG that refers to nothing outside itself.

    Notes
    -----
    The layered drawing of Sugiyama, Tagawa and Toda (IEEE Trans. SMC 11:109, 1981): layers by
    longest path, an empty box wherever an arrow passes a layer, order by barycentre.
    """
    level = layers(len(names), edges)
    widths = [LETTER * len(name) + 20 for name in names]
    chains = []
    for maker, user in edges:
        down = -1 if level[maker] > level[user] else 1
        chain = [maker]
        for passed in range(level[maker] + down, level[user], down):
            chain.append(len(level))
            level.append(passed)
            widths.append(PASS_WIDTH)
        chains.append([*chain, user])
    near: list[list[int]] = [[] for _ in level]
    for chain in chains:
        for a, b in itertools.pairwise(chain):
            near[a].append(b)
            near[b].append(a)

    rows = [[n for n, own in enumerate(level) if own == i] for i in range(max(level) + 1)]
    x = np.zeros(len(level))
    for row in rows:
        x[row] = _spread(np.zeros(len(row)), np.array([widths[n] for n in row]))
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 else rows[::-1]:
            side = -1 if sweep % 2 else 1

            def pull(node: int, side: int = side) -> float:
                ends = [m for m in near[node] if (level[m] - level[node]) * side > 0]
                return float(np.mean(x[ends])) if ends else float(x[node])

            row.sort(key=lambda node: (pull(node), node))
            wanted = np.array([pull(node) for node in row])
            x[row] = _spread(wanted, np.array([widths[n] for n in row]))
    half = np.array(widths) / 2
    x += MARGIN - (x - half).min()
    width = float((x + half).max()) + MARGIN
    y = MARGIN + LAYER_STEP * (max(level) - np.array(level))
    height = LAYER_STEP * max(level) + BOX_HEIGHT + 2 * MARGIN

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.1f} {height:.1f}"'
        f' width="{width:.1f}" height="{height:.1f}" font-family="sans-serif" font-size="13">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"'
        ' markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#5b6770"/></marker></defs>',
        f'<rect width="{width:.1f}" height="{height:.1f}" fill="#ffffff"/>',
        '<g fill="none" stroke="#5b6770" stroke-width="1.3">',
    ]
    for chain in chains:
        sign = 1 if level[chain[0]] > level[chain[-1]] else -1
        path = ""
        for i, (a, b) in enumerate(itertools.pairwise(chain)):
            top = y[a] + (BOX_HEIGHT if sign > 0 else 0)
            bottom = y[b] + (0 if sign > 0 else BOX_HEIGHT)
            middle = (top + bottom) / 2
            path += f"{'L' if i else 'M'}{x[a]:.1f} {top:.1f}"
            path += f"C{x[a]:.1f} {middle:.1f} {x[b]:.1f} {middle:.1f} {x[b]:.1f} {bottom:.1f}"
        out.append(f'<path d="{path}" marker-end="url(#tip)"/>')
    out.append('</g><g fill="#e8f1f8" stroke="#0072b2" stroke-width="1.3">')
    for node in range(len(names)):
        out.append(
            f'<rect x="{x[node] - half[node]:.1f}" y="{y[node]:.1f}" width="{widths[node]:.1f}"'
            f' height="{BOX_HEIGHT:.1f}" rx="6"/>'
        )
    out.append('</g><g fill="#10222e" text-anchor="middle">')
    for node, name in enumerate(names):
        out.append(f'<text x="{x[node]:.1f}" y="{y[node] + 19.5:.1f}">{escape(name)}</text>')
    out.append("</g></svg>\n")
    return "\n".join(out)
