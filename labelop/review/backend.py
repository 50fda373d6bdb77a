"""A Label Studio ML backend on premises: a click or a box in the editor becomes a mask.

Every request needs the token, no address or path of a request is ever opened, and a restricted image is answered to
addresses on premises only. Knows the tables and HTTP; prompts are `engines.prompted`'s business.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import logging
import socket
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from labelop.catalog.cards import ModelCard
from labelop.engines.base import open_engine
from labelop.engines.embeddings import EmbeddingCache
from labelop.engines.prompted import Prompter
from labelop.errors import CatalogError, LabelopError, ManifestError, PlacementForbiddenError, ReviewRecordError
from labelop.ingest.originals import read_pixels
from labelop.landing.filters import equal
from labelop.landing.store import Store, read_rows
from labelop.review.backend_forms import MOST_BYTES, Asked, Request, mask_region, parse, prompt_of
from labelop.sensitivity.clearance import CLOUD, Clearance, clear, standings
from labelop.sensitivity.policy import load_policy
from labelop.settings import Settings

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_MOST_KNOWN = 4096
_log = logging.getLogger(__name__)


def find_segmenter(catalog: Iterable[ModelCard], name: str | None) -> ModelCard:
    """Choose the promptable segmenter of a catalog.

    Raises:
        CatalogError: There is none, several and no name, or the named one is no segmenter.
    """
    found = {card.id: card for card in catalog if card.task == "segmentation"}
    if name is not None and name in found:
        return found[name]
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    raise CatalogError(
        f"{'No model' if name is None else repr(name)} is the segmenter of the catalog; it has "
        f"{', '.join(sorted(found)) or 'none'}.",
        hint="--model names one.",
    )


def create_backend(
    store: Store, settings: Settings, card: ModelCard, token: str, onprem: Sequence[Network] = ()
) -> Starlette:
    """Build the application.

    Args:
        store: Where the tables are.
        settings: How to read originals, and where `policy.yaml` is.
        card: The segmenter.
        token: What every request needs, as bearer or as password.
        onprem: Networks whose addresses are on premises, beside this machine's own.
    """
    answers = _Answers(store, settings, card, token, onprem)
    return Starlette(
        routes=[
            Route("/health", answers.health),
            Route("/setup", answers.setup, methods=["POST"]),
            Route("/predict", answers.predict, methods=["POST"]),
        ]
    )


def serve(app: Starlette, host: str, port: int) -> None:
    """Serve until stopped; the caller says where beforehand."""
    with socket.create_server((host, port)) as listener:
        config = uvicorn.Config(
            # a header that names another client is nobody's word
            app, log_level="warning", access_log=False, lifespan="off", ws="none", proxy_headers=False
        )  # fmt: skip
        uvicorn.Server(config).run(sockets=[listener])


class _Answers:
    """The endpoints."""

    def __init__(
        self, store: Store, settings: Settings, card: ModelCard, token: str, onprem: Sequence[Network]
    ) -> None:
        self._store, self._settings, self._card = store, settings, card
        self._token, self._onprem = token, onprem
        self._prompter = Prompter(open_engine(card, settings), EmbeddingCache())
        self._known: dict[tuple[str, str, str], dict[str, Any]] = {}

    async def health(self, _: HttpRequest) -> Response:
        # says nothing but that somebody is here
        return JSONResponse({"status": "UP"})

    async def setup(self, request: HttpRequest) -> Response:
        if not self._is_allowed(request):
            return _refused()
        return JSONResponse({"model_version": self._version()})

    async def predict(self, request: HttpRequest) -> Response:
        if not self._is_allowed(request):
            return _refused()
        try:
            asked = parse(await _body(request))
            results = await run_in_threadpool(self._answer, asked, request.client.host if request.client else "")
        except ReviewRecordError as error:
            return JSONResponse({"error": error.message}, 400)
        except PlacementForbiddenError as error:
            return JSONResponse({"error": error.message}, 403)
        except LabelopError as error:
            # names of files stay here: ids are in the log of this machine
            _log.warning("no mask: %s", error)
            status = 503 if error.retryable else 404 if isinstance(error, ManifestError) else 500
            return JSONResponse({"error": type(error).__name__}, status)
        return JSONResponse({"results": results})

    def _answer(self, request: Request, client: str) -> list[dict[str, Any]]:
        version = self._version()
        if not request.regions:
            return [{"model_version": version, "score": 0.0, "result": []} for _ in request.tasks]
        asked = request.tasks[0]
        image = self._image(asked)
        self._check_place(asked, client)
        size = image["width_px"], image["height_px"]
        prompt = prompt_of(request.regions, *size)
        found = self._prompter.mask(
            asked.image_id,
            size,
            prompt,
            lambda: read_pixels(asked.image_id, image["source_uri"], image["path"], self._settings),
        )
        if found is None:
            return [{"model_version": version, "score": 0.0, "result": []}]
        region = mask_region(request.regions, asked, found.counts, found.score, *size)
        return [{"model_version": version, "score": found.score, "result": [region]}]

    def _image(self, asked: Asked) -> dict[str, Any]:
        """Find an image by its id in the manifest; what else a request says of it is not read."""
        key = (asked.dataset, asked.dataset_version, asked.image_id)
        if key not in self._known:
            where = equal(dataset=asked.dataset, dataset_version=asked.dataset_version, image_id=asked.image_id)
            columns = ["path", "source_uri", "width_px", "height_px", "outcome"]
            rows = read_rows(self._store, "images", columns=columns, filters=where)
            good = sorted((row for row in rows if row["outcome"] == "ok"), key=lambda row: str(row["path"]))
            if not good:
                raise ManifestError(f"Image {asked.image_id[:12]} is not known in this dataset version.")
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[key] = good[0]
        return self._known[key]

    def _check_place(self, asked: Asked, client: str) -> None:
        """Answer an address elsewhere only about images that may be there; asked anew each time."""
        if is_onprem(client, self._onprem):
            return
        policy = load_policy(self._settings.config / "policy.yaml")
        standing = standings(self._store, asked.dataset, asked.dataset_version, policy).get(asked.image_id)
        if standing is None or clear(policy, standing, CLOUD) != Clearance():
            raise PlacementForbiddenError(f"Image {asked.image_id[:12]} may be shown on premises only.")

    def _version(self) -> str:
        return f"{self._card.id}-{self._card.digest[:12]}"

    def _is_allowed(self, request: HttpRequest) -> bool:
        kind, _, word = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "basic":
            try:
                word = base64.b64decode(word, validate=True).decode("ascii").partition(":")[2]
            except (binascii.Error, ValueError):
                return False
        elif kind.lower() not in {"bearer", "token"}:
            return False
        return hmac.compare_digest(word.encode("utf-8", "replace"), self._token.encode())


def is_onprem(client: str, networks: Sequence[Network]) -> bool:
    """Say whether an address is on premises: this machine's own, or in one of the networks."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    return address.is_loopback or any(address in network for network in networks)


def _refused() -> Response:
    return JSONResponse({"error": "a token is needed"}, 401, {"WWW-Authenticate": 'Basic realm="labelop"'})


async def _body(request: HttpRequest) -> bytes:
    data = bytearray()
    async for block in request.stream():
        data += block
        if len(data) > MOST_BYTES:
            raise ReviewRecordError(f"the request has more than {MOST_BYTES} bytes", code="BAD_RECORD")
    return bytes(data)
