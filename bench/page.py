"""`python -m bench.page FILE`: write the tables of a result file into docs/benchmarks.md, between its marks.

No figure of that page's tables is typed by hand; what stands outside of the marks stays as it is.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from functools import partial
from pathlib import Path

from bench.photos import ROOT
from bench.ratios import Table, from_json, summary, to_markdown

PAGE = ROOT / "docs/benchmarks.md"


def filled(page: str, tables: list[Table], stem: str) -> str:
    """Put the targets and the tables of a result file between the marks of a page.

    Args:
        page: Markdown with the marks `targets`, `results` and `tables`.
        tables: What was measured.
        stem: Name of the result file, of which the plots' names are made.

    Raises:
        ValueError: A mark is missing.
    """
    parts, last = [], ""
    for table in tables:
        taken = _taken(table)
        head = f"{taken}\n\n" if taken != last else ""
        last = taken
        plot = f"[plot](../bench/results/{stem}-{table.name}.svg)"
        parts.append(f"{head}### {table.title}\n\n{to_markdown(table)}\n{plot}\n")
    contents = {"targets": summary(tables), "results": results(tables, stem), "tables": "\n".join(parts)}
    for mark, content in contents.items():
        begin, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
        if begin not in page or end not in page:
            raise ValueError(f"the page has no {begin} and {end}")
        page = re.sub(f"{begin}.*{end}", partial(_put, f"{begin}\n\n{content}\n{end}"), page, flags=re.DOTALL)
    return page


def results(tables: list[Table], stem: str) -> str:
    """Say in a paragraph what a result file holds and how its verdicts fell."""
    words = Counter(verdict.word for table in tables for verdict in table.verdicts())
    verdicts = ", ".join(f"{words[word]} {word}" for word in ("reached", "not reached", "not judged", "not measured"))
    said = [f"{len(tables)} tables of `bench/results/{stem}.json`; targets: {verdicts}."]
    commits = sorted({str(table.taken["commit"]) for table in tables if table.taken.get("commit")})
    if commits:
        said.append(f"Code of {', '.join(commits)}.")
    seconds = [table.taken["seconds"] for table in tables if "seconds" in table.taken]
    if seconds:
        said.append(f"The tables took {sum(seconds):.0f} seconds, the longest {max(seconds):.0f}.")
    loads = [table.taken["machine"]["load_at_start"][0] for table in tables]
    if loads:
        said.append(f"Load average at the start of a table {min(loads)} to {max(loads)}.")
    return " ".join(said) + "\n"


def _put(content: str, _: re.Match[str]) -> str:
    return content  # as it is: in a plain replacement a backslash would mean something


def _taken(table: Table) -> str:
    """Say by which command and on what a table was measured."""
    host = table.taken["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in host["versions"].items())
    gpu = f" GPU: {host['gpu']}, CUDA {host['cuda']}." if "gpu" in host else ""
    words = ", ".join(host["instructions"])
    return (
        f"Command: `{table.taken['command']}`, code of {table.taken.get('commit') or 'no checkout'}.{gpu} Machine: "
        f"{host['processor']}, {host['cores']} cores ({words}), load average at the start {host['load_at_start'][0]}. "
        f"Python {host['python']}, {versions}."
    )


if __name__ == "__main__":
    source = Path(sys.argv[1])
    found = from_json(source.read_text(encoding="utf-8"))
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), found, source.stem), encoding="utf-8")
