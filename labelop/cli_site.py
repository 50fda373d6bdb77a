"""Commands of a site and of its head office: what waits, the sync, what is published."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from labelop.cli_common import Embedded, FormatOption, StoreOption, from_zero_to, running
from labelop.cli_output import OutputFormat, failing_in_one_line, show_rows, warn
from labelop.landing.filters import equal
from labelop.landing.store import open_store, read_rows
from labelop.schemas import utc_now
from labelop.settings import load_settings

if TYPE_CHECKING:
    from labelop.site.outbox import Item
    from labelop.site.place import Site

_DAY_SECONDS = 86_400
site_app = typer.Typer(no_args_is_help=True)
outbox_app = typer.Typer(no_args_is_help=True, help="See what waits at a site for the network.")
site_app.add_typer(outbox_app, name="outbox")


@outbox_app.command("show")
def show_outbox(
    items: Annotated[bool, typer.Option("--items", help="One row per item instead of one in all.")] = False,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Say what waits, how old it is and how full the outbox is."""
    from labelop.site.damage import losses_of_outbox  # noqa: PLC0415
    from labelop.site.place import require_site  # noqa: PLC0415

    with failing_in_one_line():
        site = require_site(load_settings(store=store))
        outbox = site.outbox
        for loss in losses_of_outbox(site):
            warn(f"{loss}; find out what the disk did, then remove it")
        if items:
            rows = [_told(site, item) for item in [*outbox.items(), *outbox.damaged()]]
            columns = ["queued_at", "kind", *_FACTS, "size_bytes", "damaged_file", "why"]
            show_rows(rows, output, title="outbox", columns=columns)
            return
        found = outbox.contents()
        age = None if found.oldest is None else (utc_now() - found.oldest).total_seconds()
        row = {
            "items_count": found.items_count,
            "most_items": found.most_items,
            "size_bytes": found.size_bytes,
            "most_bytes": found.most_bytes,
            "full_share": found.share,
            "oldest_at": found.oldest,
            "oldest_seconds": age,
            "damaged_count": len(outbox.damaged()),
            "folder": str(outbox.folder),
        }
        show_rows([row], output, title="outbox")


_FACTS = ("table", "dataset", "run_id")


def _told(site: Site, item: Item) -> dict[str, Any]:
    from labelop.site.damage import damage_of  # noqa: PLC0415

    damage = damage_of(site, item)
    facts = {} if damage else site.outbox.read(item)[0]
    known = {"queued_at": item.queued_at, "kind": item.kind, **{name: facts.get(name) for name in _FACTS}}
    file, why = (None, None) if damage is None else (str(item.path), damage.message)
    return {**known, "size_bytes": item.size_bytes, "damaged_file": file, "why": why}


@site_app.command()
def publish(store: StoreOption = None) -> None:
    """At head office: sign policy, routing, prices and models, and put them where sites look."""
    from labelop.site.published import publish as publish_set  # noqa: PLC0415

    with failing_in_one_line():
        settings = load_settings(store=store)
        done = publish_set(open_store(settings), settings)
        typer.echo(f"published {done.digest[:12]}: {len(done.files)} files in {settings.store}/published")


def add_sync(app: typer.Typer, embedded: Embedded) -> None:
    """Add the command that needs flows."""

    @app.command()
    def sync(
        wait: Annotated[
            float,
            typer.Option(
                "--wait",
                callback=from_zero_to(_DAY_SECONDS),
                help="Seconds to wait for head office when nobody answers; at most a day.",
            ),
        ] = 0.0,
        store: StoreOption = None,
        output: FormatOption = OutputFormat.TABLE,
    ) -> None:
        """Hand over what waits, do the work for the cloud, take models and policies; goes on where it was cut off."""
        from labelop.runs import new_run_id  # noqa: PLC0415
        from labelop.site.place import require_site  # noqa: PLC0415
        from labelop.site.published import current  # noqa: PLC0415

        with running(store) as (settings, tables):
            site, run = require_site(settings), new_run_id("sync")
            with embedded(settings) as flows:
                flows["sync-site/onprem"](store=settings.store, run_id=run, wait_seconds=wait)
            rows = read_rows(tables, "syncs", filters=equal(site=site.name, run_id=run))
            show_rows(rows, output, title="sync")
            link = current(site)
            if link.exists() and not settings.config.absolute().is_relative_to(link.absolute()):
                warn(f"what head office published is in {link}, and LABELOP_CONFIG is {settings.config}")
