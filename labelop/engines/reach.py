"""Opens the way to an inference server, and says what its failures mean for a run: one error of the tree each.

Knows no model, no image and no retry.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from labelop.egress.address import read_address
from labelop.egress.release_token import refusal_in
from labelop.engines.transport import RefusedError, Transport
from labelop.errors import (
    CatalogError,
    EngineResponseError,
    EngineTimeoutError,
    EngineUnavailableError,
    LabelopError,
    MissingExtraError,
    ModelInputError,
    SettingsError,
)

HINT = "Is the inference server running?"

_TLS_FAULTS = ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER")
"""Words of the TLS library for what no retry heals."""


def open_transport(endpoint: str, *, compress: bool) -> Transport:
    """Open the way to a server by the scheme of its address; nothing is asked yet.

    Raises:
        SettingsError: The endpoint is no URL.
        MissingExtraError: The endpoint is gRPC, whose library is not installed.
    """
    try:
        parts = read_address(endpoint)
    except ValueError as error:
        raise SettingsError(
            f"Cloud endpoint {error}.", hint="Set LABELOP_CLOUD_URL, or leave it empty for the loopback server."
        ) from error
    if parts.scheme in ("http", "https"):
        from labelop.engines.over_http import HttpTransport  # noqa: PLC0415 - one of two libraries is needed

        return HttpTransport(endpoint, compress=compress)
    try:
        from labelop.engines.over_grpc import GrpcTransport  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError(
            f"Cloud endpoint {endpoint!r} needs gRPC, which is not installed: {error}.",
            hint="Install labelop[grpc], or give the server's HTTP address.",
        ) from error
    return GrpcTransport(endpoint, compress=compress)


@contextmanager
def told(where: str, timeout_seconds: float) -> Iterator[None]:
    """Turn what a transport raises into errors of the tree.

    Args:
        where: Model and server, for the message.
        timeout_seconds: Longest wait for one answer, for the message.

    Raises:
        CatalogError, SettingsError, ModelInputError, EngineError: By what the server said, or did not say.
    """
    try:
        yield
    except RefusedError as error:
        raise _refusal(where, error) from error
    except TimeoutError as error:
        raise EngineTimeoutError(f"{where} did not answer within {timeout_seconds} seconds.") from error
    except OSError as error:
        if any(words in str(error) for words in _TLS_FAULTS):
            raise SettingsError(
                f"{where} cannot be reached safely: {error}.",
                hint="Check the address in LABELOP_CLOUD_URL and the server's certificate.",
            ) from error
        raise EngineUnavailableError(f"{where} cannot be reached: {error}.", hint=HINT) from error
    except (ValueError, KeyError, TypeError) as error:
        raise EngineResponseError(f"{where} answered something unreadable: {error}.", code="BAD_ANSWER") from error


def _refusal(where: str, error: RefusedError) -> LabelopError:
    said = f"(status {error.status}): {error.text}."
    code = refusal_in(error.text)
    facts = {"release_code": code, "refused": "refused_at_far_end"} if code else {}
    match error.kind:
        case "busy" | "not_ready":
            return EngineUnavailableError(
                f"{where} is not ready {said}", hint=HINT, after_seconds=error.after_seconds, loading=True
            )
        # faults of the set-up end the run: as failures of single images they would be landed for good
        case "not_served":
            return CatalogError(f"{where} is not served: {error.text}.", hint="Start the server with the same catalog.")
        case "not_admitted":
            return SettingsError(f"{where} does not admit this client {said}", **facts)
        case "redirected":
            return SettingsError(
                f"{where} is said to be elsewhere {said}", hint="Images go to LABELOP_CLOUD_URL only; check it."
            )
        case "bad_input":
            reason = f"RELEASE_{code}" if code else "SERVER_REFUSED"
            return ModelInputError(f"{where} refused the request {said}", code=reason, **facts)
        case "failed":
            return EngineResponseError(f"{where} failed {said}", code="SERVER_FAILED")
