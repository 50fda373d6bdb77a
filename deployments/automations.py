"""Install the stack's automations on a Prefect server; one that is there already is brought up to date."""

from __future__ import annotations

import argparse
import json
import urllib.request
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).resolve().parent / "automations.yaml"
_SECONDS = 30.0


def install(api: str, wanted: list[dict[str, Any]] | None = None) -> list[str]:
    """Create or update automations by name.

    Args:
        api: Address of the server's API.
        wanted: Automations as the API takes them; those of the file when None.

    Returns:
        Their names.
    """
    installed = []
    for one in yaml.safe_load(FILE.read_text(encoding="utf-8"))["automations"] if wanted is None else wanted:
        same = {"automations": {"name": {"any_": [one["name"]]}}}
        there = _ask("POST", f"{api}/automations/filter", same)
        if there:
            _ask("PUT", f"{api}/automations/{there[0]['id']}", one)
        else:
            _ask("POST", f"{api}/automations/", one)
        installed.append(str(one["name"]))
    return installed


def _ask(method: str, url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(  # noqa: S310 - the operator's own server
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}, method=method
    )
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
        said = answer.read()
    return json.loads(said) if said else None


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--api", required=True, help="for example http://127.0.0.1:4200/api")
    print("installed", ", ".join(install(parser.parse_args().api)))


if __name__ == "__main__":
    main()
