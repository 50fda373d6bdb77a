"""Where the tables are: one value that flows pass around, made from the settings and nothing else.

Knows how an object store is addressed; must not know tables. Nothing here touches a disk or a network.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from labelop.errors import SettingsError
from labelop.object_store import table_options
from labelop.settings import Settings

# the table library percent-decodes local paths and ends the process' thread on brackets
_UNSAFE = re.compile(r"[\[\]\\\x00-\x1f\x7f]|%[0-9A-Fa-f]{2}")


@dataclass(frozen=True, slots=True)
class Store:
    """Where the tables are."""

    root: str
    """Absolute folder, or `s3://bucket/prefix`, without a slash at the end."""
    storage_options: dict[str, str] = field(default_factory=dict, repr=False)
    """Options of the object store by the names deltalake uses; holds a secret, so it is never shown."""
    single_writer: bool = False
    """Whether the store cannot refuse the second of two writers, so that the processes of this machine take turns."""

    @property
    def is_local(self) -> bool:
        """Whether the tables are folders of this machine."""
        return "://" not in self.root

    def uri(self, name: str) -> str:
        """Address of one table."""
        return f"{self.root}/{name}"


def open_store(settings: Settings, setting: Literal["store", "head_store"] = "store") -> Store:
    """Point at a store of the settings; nothing is read or created.

    Args:
        settings: Where the store is.
        setting: Which of them, the machine's own or that of head office, which must not be empty.

    Raises:
        SettingsError: The root is a file, or neither a folder nor an `s3://` address, or holds unsafe characters.
    """
    given = getattr(settings, setting) or ""
    root, said = given.removeprefix("file://"), f"Setting LABELOP_{setting.upper()} has the value {given!r}"
    if refused := _UNSAFE.search(root):
        raise SettingsError(
            f"{said}, and {refused[0]!r} cannot be part of it.",
            hint="Choose a place without [ ] \\ control characters or % followed by two hex digits.",
        )
    if root.startswith("s3://") and root.strip("/") != "s3:":
        return Store(root.rstrip("/"), table_options(settings), single_writer=settings.store_single_writer)
    if "://" in root or not root:
        raise SettingsError(f"{said}, expected a folder or s3://bucket/prefix.")
    folder = Path(root).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise SettingsError(f"{said}, which is a file; expected a folder.")
    return Store(str(folder), single_writer=settings.store_single_writer)
