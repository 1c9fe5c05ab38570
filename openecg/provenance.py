"""Tell Snakemake when package code changes; by itself it looks only at the rule."""

import ast
import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path


@cache
def code_hash(*modules: str) -> str:
    """Hash modules and every module of their package that they import, however deep.

    Comments, layout and docstrings do not count, so tidying a file reruns nothing. Modules that
    are imported by a computed name (data set layouts, architectures) must be named here too.

    Parameters
    ----------
    modules : str
        Dotted names, such as ``"openecg.shards"``.

    Returns
    -------
    str
        Twelve hexadecimal digits.
    """
    seen: dict[str, str] = {}
    for module in modules:
        if _source(module) is None:
            raise ModuleNotFoundError(f"no module {module!r} to hash")
    packages = {module.partition(".")[0] for module in modules}
    todo = list(modules)
    while todo:
        name = todo.pop()
        if name in seen or name.partition(".")[0] not in packages:
            continue
        source = _source(name)
        if source is None:  # a name inside a module, not a module
            continue
        tree = ast.parse(source.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                todo += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                todo += [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
            elif (
                isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
                and ast.get_docstring(node) is not None
            ):
                node.body[0] = ast.Pass()
        seen[name] = ast.unparse(tree)
    text = "\n".join(f"# {name}\n{seen[name]}" for name in sorted(seen))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def text_hash(*files: Path) -> str:
    """Hash the lines of files, for example of the rules, without comments and indentation."""
    lines = [line.strip() for path in files for line in path.read_text().splitlines()]
    text = "\n".join(line for line in lines if line and not line.startswith("#"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _source(module: str) -> Path | None:
    """Find the file of a module by its place in its package, without importing anything."""
    package, *rest = module.split(".")
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    place = Path(spec.submodule_search_locations[0], *rest)
    for path in (place / "__init__.py", place.with_suffix(".py")):
        if path.exists():
            return path
    return None
