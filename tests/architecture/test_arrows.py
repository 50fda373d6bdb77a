"""Who may know whom, read from the source itself; the import contracts hold the rest."""

from __future__ import annotations

import ast
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter import cli as import_linter

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("labelop", "tasks", "flows")

ADAPTERS = {
    "cryptography": {"labelop/egress/keys.py", "labelop/egress/public_keys.py", "labelop/egress/vault.py"},
    "deltalake": {f"labelop/landing/{name}.py" for name in ("drop", "store", "tables", "upkeep")},
    "duckdb": {"labelop/queries.py", "labelop/views.py"},
    "gevent": {"labelop/engines/over_http.py"},
    "geventhttpclient": {"labelop/engines/over_http.py"},
    "great_expectations": {"labelop/landing/expectations.py"},
    "grpc": {"labelop/engines/over_grpc.py"},
    "httpx": {"labelop/review/rest.py"},
    "huggingface_hub": {"labelop/catalog/pull.py"},
    "numba": {"labelop/effort/kernel.py"},
    "onnx": {"labelop/catalog/int8_graph.py"},
    "onnxruntime": {"labelop/engines/graph.py", "labelop/catalog/int8_graph.py"},
    "openlineage": {"labelop/lineage.py"},
    "openvino": {"labelop/engines/vino.py", "labelop/catalog/export.py"},
    "pynvml": {"labelop/engines/energy.py"},
    "pycocotools": {
        "labelop/effort/outlines.py",
        "labelop/effort/quality.py",
        "labelop/engines/masks.py",
        "labelop/ingest/masks.py",
    },
    "statsmodels": {
        *(f"labelop/effort/{name}.py" for name in ("agreement", "bias", "speeds")),
        "labelop/pilot/statistics.py",
    },
    "starlette": {"labelop/engines/serve.py", "labelop/review/backend.py"},
    "torch": {
        "labelop/engines/folder.py",
        "labelop/catalog/export.py",
        "labelop/catalog/export_segmenter.py",
        "labelop/catalog/proof.py",
    },
    "transformers": {"labelop/engines/folder.py"},
    "tritonclient": {"labelop/engines/over_http.py", "labelop/engines/over_grpc.py"},
    "uvicorn": {"labelop/engines/serve.py", "labelop/review/backend.py"},
    "vl_convert": {"labelop/report/plots.py"},
}
"""Heavy or foreign libraries and the modules that wrap them; pycocotools has one for scores and three for masks."""

UNKNOWN_TO_PRODUCT = {"moto", "playwright", "requests", "aiohttp", "boto3"}
"""Libraries of tests, or ways out to a network that would pass the gate by."""


def modules(*folders: str) -> list[Path]:
    """List the Python files of some folders of the project."""
    found = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    assert found, f"no Python files in {folders}"
    return found


def imported(path: Path) -> set[str]:
    """Name every absolute module a file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def packages(path: Path) -> set[str]:
    """Name the top packages a file imports."""
    return {name.partition(".")[0] for name in imported(path)}


def relative(path: Path) -> str:
    """Write a path as the tables of this file do."""
    return path.relative_to(ROOT).as_posix()


def test_import_contracts_hold(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The contracts of pyproject.toml are kept by the code as it is."""
    monkeypatch.chdir(ROOT)
    loud = [
        one for one in logging.root.manager.loggerDict.values() if isinstance(one, logging.Logger) and not one.disabled
    ]
    status = import_linter.lint_imports(config_filename="pyproject.toml", no_cache=True, no_logo=True)
    for one in loud:
        one.disabled = False  # the linter silences every logger there is, and later tests read them
    assert status == 0, capsys.readouterr().out


def test_only_the_command_line_knows_flows_and_tasks() -> None:
    """Nothing in the library but the composition root imports flows or tasks."""
    above = {relative(path) for path in modules("labelop") if packages(path) & {"flows", "tasks"}}
    assert above == {"labelop/cli.py"}


def test_the_library_never_imports_the_orchestrator() -> None:
    """No module of the library imports Prefect, so that it works in a notebook."""
    assert [relative(path) for path in modules("labelop") if "prefect" in packages(path)] == []


def test_no_flow_imports_another_flow() -> None:
    """A flow names its children by deployment, so that they can run on other machines."""
    assert [relative(path) for path in modules("flows") if "flows" in packages(path)] == []


def test_tasks_do_not_import_flows() -> None:
    """The arrow points from flows to tasks."""
    assert [relative(path) for path in modules("tasks") if "flows" in packages(path)] == []


@pytest.mark.parametrize("library", sorted(ADAPTERS))
def test_heavy_libraries_live_in_their_adapters(library: str) -> None:
    """Each heavy library is imported in its adapter and nowhere else."""
    users = {relative(path) for path in modules(*PRODUCT) if library in packages(path)}
    assert users == ADAPTERS[library]


def test_the_product_has_no_other_way_out() -> None:
    """No module of the product but an adapter imports an HTTP client or a library of the tests."""
    found = {relative(path): sorted(packages(path) & UNKNOWN_TO_PRODUCT) for path in modules(*PRODUCT)}
    assert {path: names for path, names in found.items() if names} == {}


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    """`labelop --help` answers at once: no engine, orchestrator or validation library comes with the import."""
    heavy = [
        "prefect",
        "torch",
        "transformers",
        "great_expectations",
        "onnxruntime",
        "openvino",
        "tritonclient",
        "vl_convert",
    ]
    code = f"import sys, labelop.cli; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_modules_are_not_named_after_the_library_they_wrap() -> None:
    """A file called like a library hides it and says nothing about its purpose."""
    names = set(ADAPTERS) | {"prefect", "pandas", "numpy", "typer", "pydantic", "scipy", "fsspec"}
    assert [relative(path) for path in modules(*PRODUCT) if path.stem in names] == []
