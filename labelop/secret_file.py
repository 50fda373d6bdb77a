"""Files that hold one random key, made at their first use and refused when others may read them.

Knows what such a file looks like, not what its key is for.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from labelop.errors import SettingsError, naming
from labelop.strict_text import read_regular

KEY_BYTES = 32
"""Length of a key."""

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def read_key(path: Path, *, harm: str) -> str:
    """Read a key; 64 hex digits.

    Args:
        path: Its file.
        harm: What others could do with it, as the end of a sentence.

    Raises:
        SettingsError: Others may read the file, or it holds no key.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & _OTHERS:
        raise SettingsError(
            f"{path} has the mode {mode:04o}, expected 0600: others could {harm}.",
            hint="Take it from others with chmod 600, and replace it where they may have read it.",
        )
    try:
        text = read_regular(path).decode("ascii", errors="replace").strip()
    except ValueError as error:
        raise SettingsError(f"{path} {error}.", hint="Put the file itself there.") from error
    if len(text) != 2 * KEY_BYTES or set(text) - set("0123456789abcdef"):
        raise SettingsError(f"{path} holds no key of {KEY_BYTES} bytes in hex.", hint="Remove it; a new one is made.")
    return text


def make_key(path: Path, text: str | None = None) -> None:
    """Put a key in place whole, unless there is one: of several processes the first wins.

    Args:
        path: Its file; the folder is there.
        text: The key; a new one when None.
    """
    if path.exists():
        return
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with naming(path), os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text or secrets.token_hex(KEY_BYTES))
        out.flush()
        os.fsync(out.fileno())
    try:
        os.link(fresh, path)
    except FileExistsError:
        return
    finally:
        fresh.unlink()
