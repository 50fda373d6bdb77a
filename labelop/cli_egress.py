"""Commands about what left: the audit log, and the keys that sign releases. No private key is ever shown."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from labelop.cli_common import DatasetOption, FormatOption, StoreOption
from labelop.cli_output import OutputFormat, failing_in_one_line, show_rows, warn
from labelop.egress.audit import AuditLog, entries, verify
from labelop.egress.heads import heads_file
from labelop.egress.heads_check import read_heads
from labelop.egress.keys import GRACE_SECONDS, MOST_GRACE_SECONDS, export_public, init_keys, load_key, open_keyring
from labelop.egress.public_keys import PublicKey
from labelop.egress.set_up import replace_key, verify_log
from labelop.egress.vault import Vault
from labelop.errors import LabelopError, LandingError
from labelop.settings import load_settings

audit_app = typer.Typer(no_args_is_help=True, help="Prove what left the premises and what was stopped.")
keys_app = typer.Typer(no_args_is_help=True, help="Make and change the keys that sign releases.")


@audit_app.command("verify")
def verify_audit(
    heads: Annotated[
        Path | None, typer.Option("--heads", help="Folder of signed heads; the one of the settings when empty.")
    ] = None,
    store: StoreOption = None,
) -> None:
    """Check that no line was changed, dropped, swapped, cut off or made anew; names the first bad one."""
    with failing_in_one_line():
        settings = load_settings(store=store)
        if heads is None:
            found = verify_log(settings)
        else:
            file = heads_file(heads, settings.audit_path)
            if not file.exists():
                raise LandingError(f"{heads} has no heads of {settings.audit_path}.", hint=f"Expected {file.name}.")
            found = verify(settings.audit_path, heads=read_heads(file, open_keyring(settings.keys_path)))
        if found.cause:
            where = "" if found.bad_line is None else f" line {found.bad_line}"
            raise LandingError(
                f"{settings.audit_path}{where} ({found.cause}): {found.problem}.",
                hint="Keep a copy of log and heads as they are, and find out who wrote there.",
            )
        typer.echo(
            f"{found.lines_count} lines, chain whole, head {found.head}; signed heads vouch for {found.vouched_count}"
        )
        if found.lines_count and not found.vouched_count:
            warn("nothing vouches for this log: no head of it was signed, so whoever owns the file can make it anew")


@audit_app.command("show")
def show(
    image: Annotated[str | None, typer.Option("--image", help="Image id, or enough of its first digits.")] = None,
    run: Annotated[str | None, typer.Option("--run", help="Id of a run.")] = None,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Show what was allowed and denied for an image or a run, with the reasons."""
    if image is None and run is None:
        raise typer.BadParameter("give --image or --run")
    with failing_in_one_line():
        rows = [
            {name: entry.get(name) for name in _COLUMNS}
            for entry in entries(load_settings(store=store).audit_path, image_id=image, run_id=run)
        ]
        show_rows(rows, output, title="audit", columns=_COLUMNS)


_COLUMNS = [
    *("line", "at", "event", "answer", "reason", "because", "image_id", "images_count", "level", "placement", "run_id"),
    *("by", "until", "datasets"),
    *("payload_digest", "bytes", "form", "nonce", "policy_digest", "key_id"),
]


@keys_app.command("init")
def init(store: StoreOption = None) -> None:
    """Make the first key."""
    with failing_in_one_line():
        folder = load_settings(store=store).keys_path
        typer.echo(f"made {init_keys(folder).key_id} in {folder}")


@keys_app.command()
def rotate(
    grace_seconds: Annotated[
        int,
        typer.Option(
            "--grace-seconds",
            min=0,
            max=MOST_GRACE_SECONDS,
            help="How long running work may use the old key; 0 after a leak.",
        ),
    ] = GRACE_SECONDS,
    store: StoreOption = None,
) -> None:
    """Replace the private key; export the public keys again afterwards."""
    with failing_in_one_line():
        settings = load_settings(store=store)
        typer.echo(f"made {replace_key(settings, grace_seconds).key_id} in {settings.keys_path}")


@keys_app.command("list")
def list_keys(store: StoreOption = None, output: FormatOption = OutputFormat.TABLE) -> None:
    """List the public keys with their dates."""
    with failing_in_one_line():
        keys = open_keyring(load_settings(store=store).keys_path).all()
        show_rows([_row(key) for key in keys], output, title="keys")


@keys_app.command()
def check(store: StoreOption = None) -> None:
    """Check that the private key is there, fits its public half, and that nobody else can read it."""
    with failing_in_one_line():
        folder = load_settings(store=store).keys_path
        current = load_key(folder)
        stray = [k.key_id for k in open_keyring(folder).all() if k.retired_ms is None and k.key_id != current.key_id]
        if stray:
            raise LabelopError(
                f"{folder} has {', '.join(stray)} beside {current.key_id}, and none is retired.",
                hint="A rotation was cut off; `labelop keys rotate` sets it right.",
            )
        typer.echo(
            f"{current.key_id} in {folder}: owner and modes are right; {Vault(folder).datasets_count()} data keys"
        )


@keys_app.command("export-public")
def export(
    folder: Annotated[Path, typer.Argument(help="Folder for a far end; give it as LABELOP_PUBLIC_KEYS there.")],
    store: StoreOption = None,
) -> None:
    """Write the public keys for a cloud worker or an inference server."""
    with failing_in_one_line():
        keys = export_public(load_settings(store=store).keys_path, folder)
        typer.echo(f"wrote {len(keys)} public keys to {folder}")


@keys_app.command()
def shred(
    dataset: DatasetOption,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    store: StoreOption = None,
) -> None:
    """Drop the key of a dataset: what was sealed under it can never be opened again."""
    with failing_in_one_line():
        if not yes:
            typer.confirm(f"Everything sealed under {dataset} will be lost for good. Go on?", abort=True)
        settings = load_settings(store=store)
        gone = Vault(settings.keys_path).shred(dataset)
        if gone:
            AuditLog(settings.audit_path).append({"event": "key_shredded", "datasets": [dataset]})
        typer.echo(f"the key of {dataset} is gone" if gone else f"{dataset} has no key")


def _row(key: PublicKey) -> dict[str, object]:
    return {
        "key_id": key.key_id,
        "created_at": _time(key.created_ms),
        "retired_at": None if key.retired_ms is None else _time(key.retired_ms),
        "public_key": key.raw.hex(),
    }


def _time(ms: int) -> str:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):
        return f"{ms} ms, which is no date"  # any whole number may stand in a file
