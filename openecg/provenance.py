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
    todo = list(modules)
    packages = {module.partition(".")[0] for module in modules}
    for module in modules:
        if find_spec(module) is None:
            raise ModuleNotFoundError(f"no module {module!r} to hash")
    while todo:
        name = todo.pop()
        if name in seen or name.partition(".")[0] not in packages:
            continue
        try:
            spec = find_spec(name)
        except ModuleNotFoundError:  # a name inside a module, not a module
            continue
        if spec is None or spec.origin is None:
            continue
        tree = ast.parse(Path(spec.origin).read_text())
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
    """Hash the text of files, for example of the rules themselves."""
    return hashlib.sha256(b"\n".join(path.read_bytes() for path in files)).hexdigest()[:12]
