"""Reads the signed heads of an audit log again: whether they are whole and whose they are.

A head is judged by its place in the chain and never by the time it claims, which its signer chooses: behind a head of a
newer key none of an older one is good. Knows no private key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from labelop.egress.heads import DOMAIN, NO_HEAD, Head, HeadForm, is_torn
from labelop.egress.public_keys import Keyring, PublicKey
from labelop.ids import canonical_json, sha256_hex


@dataclass(frozen=True, slots=True)
class HeadsFault:
    """A file of heads that cannot be believed."""

    line: int
    """First bad line of the file of heads, from 1."""
    problem: str
    """What is wrong with it."""


def read_heads(path: Path, keyring: Keyring, *, remembered: Sequence[str] = ()) -> list[Head] | HeadsFault:
    """Read the heads of a log and check signatures, chain and the order of their keys.

    Args:
        path: File of heads; a missing file has none.
        keyring: Public keys, the retired ones included.
        remembered: Digests of heads as `recall` gives them: the file must end with one of them. Empty for a copy.

    Returns:
        The heads in order, or the first fault. A line torn by a death is passed over when the next head chains to it.
    """
    heads: list[Head] = []
    keys = {key.key_id: key for key in keyring.all()}
    previous = whole = NO_HEAD
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    for number, line in enumerate(lines, start=1):
        try:
            form = HeadForm.model_validate(json.loads(line))
        except (ValidationError, ValueError, RecursionError):
            if is_torn(line):
                previous = sha256_hex(line.rstrip(b"\n"))
                continue
            return HeadsFault(number, f"head {number} has not the form of a head")
        if problem := _problem(form, keys, previous, heads):
            return HeadsFault(number, f"head {number} {problem}")
        heads.append(Head(form.lines_count, form.head, form.at_ms, form.previous, form.key_id))
        previous = whole = sha256_hex(line)
    if remembered and whole not in remembered:
        kept = (
            f"these {len(heads)} do not end with the newest" if heads else "none is left: nothing vouches for the log"
        )
        return HeadsFault(len(lines) + 1, f"heads of this log were signed, and {kept}")
    return heads


def _problem(form: HeadForm, keys: Mapping[str, PublicKey], previous: str, heads: Sequence[Head]) -> str:
    """Say what is wrong with a head behind others; nothing where it is good."""
    key = keys.get(form.key_id)
    if key is None:
        return f"is signed with {form.key_id}, which is unknown"
    said = form.model_dump(by_alias=True, exclude={"signature"})
    if not key.verifies(bytes.fromhex(form.signature), DOMAIN, canonical_json(said).encode()):
        return "has a signature that does not fit"
    if form.previous != previous:
        return f"follows {form.previous}, expected {previous}"
    if heads and key.created_ms < keys[heads[-1].key_id].created_ms:
        return f"is signed with {form.key_id}, which {heads[-1].key_id} had replaced before it"
    return ""
