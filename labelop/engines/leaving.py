"""The last looks at an image before its bytes leave: is it a release, is it good here and now, is it pixels alone?

Independent looks, so that a fault in one lets nothing out. Knows no transport and no policy.
"""

from __future__ import annotations

from collections.abc import Callable

from labelop.egress.gate import Released
from labelop.errors import ModelInputError, PlacementForbiddenError, ReleaseRefusedError
from labelop.jpeg import is_bare


def hold_to_type(one: object, placement: str) -> None:
    """Let only a release for this placement pass.

    Raises:
        PlacementForbiddenError: It is none.
    """
    if type(one) is not Released or one.placement != placement:
        raise PlacementForbiddenError(f"An image without a release for {placement} reached the cloud engine.")


def look_again(check: Callable[[Released], object], released: Released) -> None:
    """Ask the gate about a release once more.

    Raises:
        ModelInputError: It is not good; `code` begins with `RELEASE_`.
    """
    try:
        check(released)
    except ReleaseRefusedError as error:
        raise _not_sent(error.code, error.message) from error


def hold_to_pixels(released: Released) -> None:
    """See that the bytes are a picture without notes, whoever made and signed them.

    Raises:
        ModelInputError: They are more than that, or no JPEG; `code` is RELEASE_HAS_NOTES.
    """
    if not is_bare(released.payload):
        raise _not_sent("HAS_NOTES", "its bytes are no bare JPEG")


def _not_sent(code: str, why: str) -> ModelInputError:
    facts = {"code": f"RELEASE_{code}", "release_code": code, "refused": "refused_before_send"}
    return ModelInputError(f"An image was not sent: {why}", **facts)
