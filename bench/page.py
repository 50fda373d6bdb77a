"""`python -m bench.page FILE...`: print the tables of result files as Markdown, for docs/benchmarks.md."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench.ratios import from_json, to_markdown


def page(path: Path) -> str:
    """Give one result file as Markdown: what it was taken on, then every table under its plot's link."""
    text = path.read_text(encoding="utf-8")
    content = json.loads(text)
    host = content["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in host["versions"].items())
    taken = (
        f"Command: `{content['command']}`. Machine: {host['processor']}, {host['cores']} cores "
        f"({', '.join(host['instructions'])}), load average at the start {host['load_at_start'][0]}. "
        f"Python {host['python']}, {versions}.\n"
    )
    tables = [
        f"### {table.title}\n\n{to_markdown(table)}\n[plot](../bench/results/{path.stem}-{table.name}.svg)\n"
        for table in from_json(text)
    ]
    return "\n".join([taken, *tables])


if __name__ == "__main__":
    print("\n".join(page(Path(name)) for name in sys.argv[1:]))
