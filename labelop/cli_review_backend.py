"""The command that answers labelling editors with masks."""

from __future__ import annotations

import ipaddress
from typing import Annotated

import typer

from labelop.cli_common import StoreOption, running


def backend(
    host: Annotated[str, typer.Option("--host", help="Address to listen on; loopback only by default.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")] = 9090,
    model: Annotated[str | None, typer.Option("--model", help="Segmenter; the catalog's only one when empty.")] = None,
    onprem: Annotated[
        list[str] | None,
        typer.Option("--onprem", help="Network on premises, as 10.1.0.0/16: restricted images are answered to it."),
    ] = None,
    store: StoreOption = None,
) -> None:
    """Serve the catalog's segmenter to Label Studio: a click or a box in the editor becomes a mask."""
    try:
        networks = [ipaddress.ip_network(text) for text in onprem or []]
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--onprem") from error
    from labelop.catalog.cards import load_catalog  # noqa: PLC0415
    from labelop.review.backend import create_backend, find_segmenter, serve  # noqa: PLC0415
    from labelop.review.connection import backend_token  # noqa: PLC0415

    with running(store) as (settings, tables):
        card = find_segmenter(load_catalog(settings.catalog).values(), model)
        app = create_backend(tables, settings, card, backend_token(settings.backend_token_path), networks)
        typer.echo(f"{card.id} on http://{host}:{port}; the token is in {settings.backend_token_path}", err=True)
        serve(app, host, port)
