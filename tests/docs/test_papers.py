"""The papers say what is there: commands, targets, links, files and dependencies."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from labelop.catalog.form import CardForm
from labelop.cli import app
from labelop.jobs import parse_job
from labelop.queries import list_queries
from labelop.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DECISIONS = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, flags=re.MULTILINE))
_BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def commands(group: Any, names: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Walk every command of the command line with its full name."""
    if isinstance(group, TyperGroup):
        if group.invoke_without_command:
            yield names, group
        for name, child in group.commands.items():
            yield from commands(child, (*names, name))
    else:
        yield names, group


COMMANDS = dict(commands(get_command(app)))


def blocks(page: Path, language: str) -> list[str]:
    """Give the code blocks of a page in one language."""
    return [text for found, text in _BLOCK.findall(page.read_text(encoding="utf-8")) if found == language]


def command_lines() -> list[tuple[str, str]]:
    """Give every line of a shell block that calls labelop, with its page."""
    return [
        (str(page.relative_to(ROOT)), line.strip())
        for page in PAGES
        for text in blocks(page, "sh")
        for line in text.splitlines()
        if line.strip().startswith("labelop ")
    ]


@pytest.mark.parametrize("names", sorted(COMMANDS), ids=" ".join)
def test_every_command_is_in_the_readme(names: tuple[str, ...]) -> None:
    """Every command has help of its own and an example in the README."""
    assert (COMMANDS[names].help or "").strip().endswith(".")
    examples = [line for text in blocks(ROOT / "README.md", "sh") for line in text.splitlines()]
    assert any(line.startswith(" ".join(["labelop", *names])) for line in examples)


@pytest.mark.parametrize(("page", "line"), command_lines())
def test_every_written_command_can_be_run(page: str, line: str) -> None:
    """Commands on a page exist, with the options and queries they name."""
    words = shlex.split(line.partition(" > ")[0], comments=True)[1:]
    size = 2 if tuple(words[:2]) in COMMANDS else 1
    command = COMMANDS.get(tuple(words[:size]))
    assert command is not None, f"{page}: {line}"
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known, f"{page}: {line}"
    if words[0] == "query" and len(words) > 1 and not words[1].startswith("-"):
        assert words[1] in {query.name for query in list_queries()}, f"{page}: {line}"


def test_the_first_commands_of_the_readme_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Typed as they stand over a folder of images they end well; the first lacked the ontology."""
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (64, 48), "grey").save(tmp_path / "photos/a.jpg")
    monkeypatch.chdir(tmp_path)
    lines = {line.split()[1]: line for page, line in reversed(command_lines()) if page == "README.md"}
    for name in ("ingest", "classify"):
        result = CliRunner().invoke(app, shlex.split(lines[name])[1:])
        assert result.exit_code == 0, (lines[name], result.output)


def test_every_hint_names_a_command_that_exists() -> None:
    """What an error tells a person to run can be run."""
    first = {names[0] for names in COMMANDS}
    queries = {query.name for query in list_queries()}
    for path in sorted((ROOT / "labelop").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for words in re.findall(r"`labelop ((?:[a-z_-]+ ?)+)", text):
            name, *rest = words.split()
            assert name in first, f"{path.name}: labelop {words}"
            if name == "query" and rest and not rest[0].startswith("-"):
                assert rest[0] in queries, f"{path.name}: labelop {words}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_make_target_exists(page: Path) -> None:
    """Targets that a page names are in the Makefile."""
    text = page.read_text(encoding="utf-8")
    lines = [line.split("#")[0] for block in blocks(page, "sh") for line in block.splitlines()]
    named = {word for line in lines if line.startswith("make ") for word in line.split()[1:] if "=" not in word}
    named |= {word for words in re.findall(r"`make ([a-z -]+)`", text) for word in words.split()}
    assert named <= TARGETS


def test_ci_runs_the_test_command_of_the_readme() -> None:
    """CI and a newcomer run the same."""
    assert "make test" in README
    assert "make test" in (ROOT / ".ci/run").read_text(encoding="utf-8")


def test_make_explains_itself() -> None:
    """`make help` lists every target that a person may want, with a sentence."""
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    listed = {line.split()[0] for line in shown.splitlines() if line.startswith("  ")}
    assert listed == TARGETS
    assert all(len(line.split()) > 2 for line in shown.splitlines() if line.startswith("  "))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file of the repository."""
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", DECISIONS, ids=lambda p: p.name)
def test_every_decision_is_listed_and_whole(page: Path) -> None:
    """A decision is linked under its own title and has context and decision."""
    text = page.read_text(encoding="utf-8")
    number, title = re.match(r"# (\d{4}) (.+)", text).groups()  # type: ignore[union-attr]
    assert page.name.startswith(number)
    index = (ROOT / "docs/decisions/README.md").read_text(encoding="utf-8")
    assert f"| [{number}]({page.name}) | {title} |" in index
    assert "**Context.**" in text
    assert "**Decision.**" in text


def test_every_dependency_has_its_reason() -> None:
    """Each distribution of pyproject.toml has a row that says why, under which licence."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    text = (ROOT / "docs/decisions/0010-dependencies.md").read_text(encoding="utf-8")
    rows = {name: cells for name, *cells in re.findall(r"^\| `([^`]+)` \| (.+?) \| (.+?) \|", text, re.MULTILINE)}
    listed = {canonicalize_name(name) for name, (why, licence) in rows.items() if why.strip() and licence.strip()}
    assert {canonicalize_name(Requirement(line).name) for line in wanted} <= listed


def test_every_dependency_is_pinned() -> None:
    """constraints.txt pins every distribution of pyproject.toml to one version, and nothing twice."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[^\s;]+( ;.*)?", line) for line in lines)
    pinned = [canonicalize_name(line.partition("==")[0]) for line in lines]
    assert len(pinned) == len(set(pinned))
    assert {canonicalize_name(Requirement(line).name) for line in wanted} <= set(pinned)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_no_page_has_a_gap(page: Path) -> None:
    """What was to be filled in was filled in."""
    assert re.findall(r"\{\{.*?\}\}", page.read_text(encoding="utf-8")) == []


def test_settings_on_pages_exist() -> None:
    """Every LABELOP_ variable a page names is a setting, or the checkout's place that deployments use."""
    known = {f"LABELOP_{name.upper()}" for name in Settings.model_fields} | {"LABELOP_HOME"}
    for page in PAGES:
        assert set(re.findall(r"LABELOP_[A-Z0-9_]+", page.read_text(encoding="utf-8"))) <= known, page.name


def test_the_example_night_is_a_night() -> None:
    """Each job of the how-to page is accepted."""
    [text] = blocks(ROOT / "docs/how-to/run-a-night.md", "yaml")
    assert [parse_job(job).dataset for job in yaml.safe_load(text)] == ["smears", "clinic"]


def test_the_example_card_is_a_card() -> None:
    """The card of the how-to page has the form that cards have."""
    card, arm = blocks(ROOT / "docs/how-to/bring-your-own-model.md", "yaml")
    assert CardForm.model_validate(yaml.safe_load(card)).id == yaml.safe_load(arm)[0]["detector"]
