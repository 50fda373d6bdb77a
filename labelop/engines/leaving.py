"""The last looks at an image before its bytes leave: is it a release, and is it good for these bytes, here and now?

Two independent looks, so that a fault in one lets nothing out. Knows no transport and no policy.
"""

from __future__ import annotations

from collections.abc import Callable

from labelop.egress.gate import Released
from labelop.errors import ModelInputError, PlacementForbiddenError, ReleaseRefusedError


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
        facts = {"code": f"RELEASE_{error.code}", "release_code": error.code, "refused": "refused_before_send"}
        raise ModelInputError(f"An image was not sent: {error.message}", **facts) from error
