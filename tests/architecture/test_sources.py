"""What every source file of the project has, and what none has."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

MOST_LINES = 300
LONGER = {
    "labelop/errors.py": "the one tree of errors, as its docstring shows it",
    "labelop/schemas.py": "the declaration of all tables reads best in one piece",
    "tests/unit/report_rows.py": "rows of a whole store, written out",
}
"""Files above the limit, each with its reason."""

ENVIRONMENT_READERS = {
    "deployments/stack.py",  # passes a clean environment to the processes it starts
    "labelop/memory.py",  # tells libraries where to allocate before anything is loaded, settings included
}
"""`labelop/settings.py` reads the environment through pydantic-settings; no other module of the product may."""

_SQL_CALLS = frozenset({"execute", "executemany", "sql", "query", "read_sql"})
_NOT_TEXT = frozenset(
    {".avif", ".bin", ".gif", ".heic", ".ico", ".jpeg", ".jpg", ".npz", ".onnx", ".parquet", ".pdf", ".png", ".tiff"}
    | {".safetensors", ".woff2"}
)
_FORBIDDEN_TEXT = re.compile(
    r"(?<![\w.])/(?:root|work|Users)/(?=\w)|(?<![\w.])/home/\w"  # a path of somebody's machine
    r"|--(?:extra-)?index-url[ =]|--find-links[ =]\S"  # where packages come from is the installer's business
    r"|https?://[^\s\"'<>)]*(?:pypi|/simple/?(?:[\s\"'<>)]|$))"
)


def tracked() -> list[str]:
    """List the files of the repository; of the folder where there is no repository."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    names = listed.stdout.decode("utf-8", "surrogateescape").split("\0") if listed.returncode == 0 else []
    return [name for name in names if name and (ROOT / name).is_file()]


def python_files() -> list[str]:
    """List the Python files of the repository."""
    return [name for name in tracked() if name.endswith(".py")]


def source(name: str) -> str:
    """Read a file of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module", autouse=True)
def _needs_a_repository() -> None:
    if not python_files():
        pytest.skip("not a git checkout: the files of the project are not known")


def test_every_module_says_why_it_exists() -> None:
    """Every module of product and tools opens with a docstring; test files are named by what they test."""
    silent = [
        n for n in python_files() if not n.startswith("tests/") and ast.get_docstring(ast.parse(source(n))) is None
    ]
    assert silent == []


def test_files_stay_small() -> None:
    """No Python file is longer than 300 lines, but for those listed with a reason, which still are."""
    long = {name for name in python_files() if source(name).count("\n") > MOST_LINES}
    assert long == set(LONGER)


def test_no_sql_file_is_longer_than_a_module() -> None:
    """A query that nobody can read is no evidence."""
    assert [n for n in tracked() if n.endswith(".sql") and source(n).count("\n") > MOST_LINES] == []


def test_the_environment_is_read_in_one_place() -> None:
    """No module but the listed ones touches os.environ or os.getenv; settings come as arguments."""
    readers = set()
    for name in python_files():
        if name.startswith(("tests/", "bench/", "data/")):
            continue
        for node in ast.walk(ast.parse(source(name))):
            if isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv", "putenv"}:
                readers.add(name)
            if isinstance(node, ast.ImportFrom) and node.module == "os":
                readers |= {name for alias in node.names if alias.name in {"environ", "getenv"}}
    assert readers <= ENVIRONMENT_READERS | {"labelop/settings.py"}


def test_sql_is_never_put_together_from_pieces() -> None:
    """No statement is built by f-string, format, % or +; values are bound, and statements live in `sql/`."""
    built = []
    for name in python_files():
        for node in ast.walk(ast.parse(source(name))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
                continue
            if node.func.attr in _SQL_CALLS and _is_built(node.args[0]):
                built.append(f"{name}:{node.lineno}")
    assert built == []


def _is_built(argument: ast.expr) -> bool:
    if isinstance(argument, ast.JoinedStr):
        return True
    if isinstance(argument, ast.BinOp) and isinstance(argument.op, ast.Add | ast.Mod):
        return True
    return (
        isinstance(argument, ast.Call) and isinstance(argument.func, ast.Attribute) and argument.func.attr == "format"
    )


def test_no_file_names_a_machine_or_a_package_index() -> None:
    """A clone works anywhere: no path of somebody's machine and no address of a package index is in any file."""
    found = []
    for name in tracked():
        if Path(name).suffix.lower() in _NOT_TEXT or name == "tests/architecture/test_sources.py":
            continue
        try:
            lines = source(name).splitlines()
        except UnicodeDecodeError:
            continue
        found += [f"{name}:{number}" for number, line in enumerate(lines, 1) if _FORBIDDEN_TEXT.search(line)]
    assert found == []


def test_no_error_is_swallowed() -> None:
    """`except Exception` never ends in silence: a handler of everything raises, returns a named outcome or logs."""
    silent = []
    for name in python_files():
        if not name.startswith(("labelop/", "tasks/", "flows/")):
            continue
        for node in ast.walk(ast.parse(source(name))):
            if not isinstance(node, ast.ExceptHandler):
                continue
            catches_all = node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "Exception")
            if catches_all and all(_says_nothing(statement) for statement in node.body):
                silent.append(f"{name}:{node.lineno}")
    assert silent == []


def _says_nothing(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Pass | ast.Continue):
        return True
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Return) and (
        statement.value is None or (isinstance(statement.value, ast.Constant) and statement.value.value is None)
    )
