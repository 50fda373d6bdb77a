"""The store's own key for tokens: it makes hashes of what was read useless to whoever has only the tables.

Knows no image and no policy.
"""

from __future__ import annotations

from labelop.errors import SettingsError
from labelop.secret_file import make_key, read_key
from labelop.settings import Settings


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
        make_key(path, former.read_text(encoding="ascii", errors="replace"))
        former.unlink(missing_ok=True)
    make_key(path)
    return read_key(path, harm="tell texts by their tokens")
