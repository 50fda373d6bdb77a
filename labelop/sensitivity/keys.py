"""The store's own key for tokens: it makes hashes of what was read useless to whoever has only the tables.

Knows no image and no policy.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from labelop.errors import SettingsError
from labelop.settings import Settings

_BYTES = 32
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def token_key(settings: Settings) -> str:
    """Read the key, or make one at the first use; 64 hex digits.

    Raises:
        SettingsError: Others may read the file, it holds no key, or its folder cannot be made.
    """
    path, former = settings.tokens_path, settings.local_root / "keys" / "tokens.key"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise SettingsError(
            f"The folder of {path} cannot be made: {error.strerror}.",
            hint="Who classifies has to be able to write beside the store: the key for tokens is kept out of it.",
        ) from error
    if former.exists():
        # where earlier releases put it: among the tables whose tokens it keys. Another key would void every override
        _make(path, former.read_text(encoding="ascii", errors="replace"))
        former.unlink(missing_ok=True)
    _make(path, secrets.token_hex(_BYTES))
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & _OTHERS:
        raise SettingsError(
            f"{path} has the mode {mode:04o}, expected 0600: others could tell texts by their tokens.",
            hint="Take it from others with chmod 600, and replace it where they may have read it.",
        )
    text = path.read_text(encoding="ascii", errors="replace").strip()
    if len(text) != 2 * _BYTES or set(text) - set("0123456789abcdef"):
        raise SettingsError(f"{path} holds no key of {_BYTES} bytes in hex.", hint="Remove it; a new one is made.")
    return text


def _make(path: Path, text: str) -> None:
    """Put a new key in place whole, unless there is one: of several processes the first wins."""
    if path.exists():
        return
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    try:
        os.link(fresh, path)
    except FileExistsError:
        return
    finally:
        fresh.unlink()
