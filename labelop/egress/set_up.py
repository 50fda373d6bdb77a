"""Puts gate, audit log and keys together from the settings, in the one way that all placements share."""

from __future__ import annotations

from labelop.egress.audit import AuditLog, Verification, verify
from labelop.egress.gate import EgressPolicy, FormPolicy, Gate
from labelop.egress.heads import SignedHeads, heads_file, memory_file, read_heads, recall
from labelop.egress.keys import ensure_key, open_keyring, public_folder
from labelop.settings import Settings


def open_gate(policy: EgressPolicy, settings: Settings, placement: str, forms: FormPolicy | None = None) -> Gate:
    """Open the gate to a placement; the first use makes the keys and says so in the log.

    Raises:
        KeysError: The key folder is not safe, or its key is damaged.
    """
    key = ensure_key(settings.keys_path)
    file = heads_file(settings.audit_heads_path, settings.audit_path)
    heads = SignedHeads(file, key, memory=memory_file(settings.keys_path, file))
    audit = AuditLog(settings.audit_path, heads=heads)
    return Gate(policy, audit, placement, key=key, forms=forms, release_seconds=settings.release_seconds)


def verify_log(settings: Settings) -> Verification:
    """Check the audit log of the settings against its signed heads, as far as there are keys to check them with.

    Raises:
        KeysError: The folder of public keys is not safe.
    """
    if not public_folder(settings.keys_path).exists():
        return verify(settings.audit_path)
    file = heads_file(settings.audit_heads_path, settings.audit_path)
    remembered = recall(memory_file(settings.keys_path, file))
    heads = read_heads(file, open_keyring(settings.keys_path), remembered=remembered)
    return verify(settings.audit_path, heads=heads)
