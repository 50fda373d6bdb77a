"""What a cloud worker or an inference server asks before it looks at an image: is this release good, here and now?

Needs public keys and nothing else: no private key, no policy file, no audit log. Imports neither the gate nor the
private half of the keys, which an import contract holds.
"""

from __future__ import annotations

import logging
import threading
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labelop.egress.public_keys import Keyring
from labelop.egress.release_token import NonceMemory, ReleaseToken, verify_token
from labelop.errors import KeysError, ReleaseRefusedError

CLOUD = "cloud"
"""Where inference servers are."""

_log = logging.getLogger(__name__)


def now_ms() -> int:
    """Give the time, milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class FarEnd:
    """Admits images with a good release and refuses all others; safe to call from several threads.

    Args:
        public_keys: Folder of public keys as `labelop keys export-public` writes it, or keys in memory.
        placement: Where this is.
        run_id: The only run to be served; any when None.
        policy_digest: The only policy to be trusted; any when None.
        clock: Gives the time, milliseconds since 1970.

    Raises:
        KeysError: The folder has no usable key, or others may write to it.
    """

    def __init__(
        self,
        public_keys: Path | Keyring,
        placement: str,
        *,
        run_id: str | None = None,
        policy_digest: str | None = None,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._keyring = public_keys if isinstance(public_keys, Keyring) else Keyring(folder=public_keys)
        if not self._keyring.all():
            raise KeysError(
                f"No public key in {public_keys}: every image would be refused.",
                hint="`labelop keys export-public` on premises writes them.",
            )
        self.placement = placement
        self._run_id = run_id
        self._policy_digest = policy_digest
        self._clock = clock
        self._seen = NonceMemory()
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def counts(self) -> dict[str, int]:
        """How many images were admitted (`ADMITTED`) and refused, by code."""
        with self._lock:
            return dict(self._counts)

    def check(self, payload: bytes, token: str) -> ReleaseToken:
        """Check one image without decoding it.

        Raises:
            ReleaseRefusedError: The release is not good; counted, and logged without anything of the image.
        """
        try:
            said = verify_token(
                token,
                payload,
                placement=self.placement,
                keyring=self._keyring,
                now_ms=self._clock(),
                seen=self._seen,
                run_id=self._run_id,
                policy_digest=self._policy_digest,
            )
        except ReleaseRefusedError as error:
            self._count(error.code)
            _log.warning("refused an image of %d bytes: %s", len(payload), error.code)
            raise
        self._count("ADMITTED")
        return said

    def check_all(self, payloads: Sequence[bytes], tokens: Sequence[bytes]) -> None:
        """Check a request: one token per image, in order.

        Raises:
            ReleaseRefusedError: A token is missing or one is not good.
        """
        if len(payloads) != len(tokens):
            self._count("MALFORMED")
            raise ReleaseRefusedError(
                f"A request was refused (MALFORMED): {len(payloads)} images came with {len(tokens)} releases.",
                code="MALFORMED",
            )
        for payload, token in zip(payloads, tokens, strict=True):
            # bytes that are no ASCII become text that is no token
            self.check(payload, token.decode("ascii", "replace"))

    def admit(self, payload: bytes, token: str) -> NDArray[np.uint8]:
        """Check one image and decode it.

        Returns:
            RGB, shape (height, width, 3).

        Raises:
            ReleaseRefusedError: The release is not good.
            WireError: The payload is no readable image.
        """
        from labelop.engines.payload import decode  # noqa: PLC0415 - only who wants pixels needs the engines

        self.check(payload, token)
        return decode(payload)

    def _count(self, code: str) -> None:
        with self._lock:
            self._counts[code] += 1


def add_options(parser: ArgumentParser) -> None:
    """Give a server the options that narrow what it takes."""
    parser.add_argument("--run", help="the only run to serve (default: any that shows good releases)")
    parser.add_argument("--policy", help="digest of the only policy to trust (default: any)")


def open_far_end(public_keys: Path | None, options: Namespace) -> FarEnd | None:
    """Open the far end of a server; None where it was given no public keys and takes everything.

    Args:
        public_keys: Folder of public keys (`LABELOP_PUBLIC_KEYS`).
        options: What `add_options` added.

    Raises:
        KeysError: The folder has no usable key, or there is none and one run or policy was asked for.
    """
    if public_keys is not None:
        return FarEnd(public_keys, CLOUD, run_id=options.run, policy_digest=options.policy)
    if options.run or options.policy:
        raise KeysError(
            "Without public keys no run and no policy can be told from another.",
            hint="LABELOP_PUBLIC_KEYS names the folder that `labelop keys export-public` wrote.",
        )
    return None
