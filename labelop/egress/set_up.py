"""Puts gate, audit log and keys together from the settings, in the one way that all placements share."""

from __future__ import annotations

from labelop.egress.audit import AuditLog, Verification, verify
from labelop.egress.gate import EgressPolicy, FormPolicy, Gate
from labelop.egress.heads import SignedHeads, heads_file, memory_file, recall
from labelop.egress.heads_check import read_heads
from labelop.egress.keys import SigningKey, ensure_key, open_keyring, public_folder, rotate_key
from labelop.settings import Settings


def open_gate(policy: EgressPolicy, settings: Settings, placement: str, forms: FormPolicy | None = None) -> Gate:
    """Open the gate to a placement; the first use makes the keys and says so in the log.

    Raises:
        KeysError: The key folder is not safe, or its key is damaged.
    """
    key = ensure_key(settings.keys_path)
    audit = _vouched_log(settings, key)
    return Gate(policy, audit, placement, key=key, forms=forms, release_seconds=settings.release_seconds)


def replace_key(settings: Settings, grace_seconds: float) -> SigningKey:
    """Replace the private key, and let the new one vouch for the log up to here: no head of the old one counts after.

    Args:
        settings: Where keys, log and heads are; a log that does not exist is not made.
        grace_seconds: How long running work may still sign releases with the old key; 0 after a leak.

    Raises:
        KeysError: The folder is not safe.
        OSError: The log or its heads could not be written; the key is replaced all the same.
    """
    key = rotate_key(settings.keys_path, grace_seconds=grace_seconds)
    if settings.audit_path.exists():
        log = _vouched_log(settings, key)
        log.append({"event": "key_rotated", "key_id": key.key_id, "grace_seconds": grace_seconds})
        log.close()
    return key


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


def _vouched_log(settings: Settings, key: SigningKey) -> AuditLog:
    file = heads_file(settings.audit_heads_path, settings.audit_path)
    ring, memory = open_keyring(settings.keys_path), memory_file(settings.keys_path, file)
    # the public half of a new key is there before its private one, so nobody signs with the old behind the new
    heads = SignedHeads(file, key, memory=memory, is_current=lambda: ring.all()[-1].key_id == key.key_id)
    return AuditLog(settings.audit_path, heads=heads)
