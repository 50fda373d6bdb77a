"""Fetches a public model by name and revision: safetensors and two JSON files, pinned by digest in a new card.

The only module that knows the hub's client library. Nothing pickled is asked for and no code of a repository is run.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from labelop.catalog.cards import ModelCard
from labelop.catalog.checkpoint import CardWishes, describe_folder, write_card
from labelop.catalog.form import FOLDER_FILES
from labelop.errors import CatalogError, MissingExtraError, SourceUnavailableError

WANTED = (*FOLDER_FILES, "README.md", "LICENSE")
"""Files that are fetched; README.md is read for the licence only."""

Fetch = Callable[[str, str, Path], str]
"""Puts the wanted files of (name, revision) into a folder and answers the exact commit."""

_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


def pull(
    name: str, revision: str, catalog: Path, wishes: CardWishes | None = None, *, fetch: Fetch | None = None
) -> ModelCard:
    """Fetch a model into the catalog and write its card.

    Args:
        name: Name on the hub, `owner/model`.
        revision: Commit, tag or branch; the card keeps the commit it stands for.
        catalog: Folder of the cards.
        wishes: What the card shall say whatever the folder does.
        fetch: Brings the files; the hub's client when None.

    Raises:
        CatalogError: The name is none, the model is there already, or its files are no model of a known family.
        MissingExtraError: The hub's client is not installed.
        SourceUnavailableError: The hub cannot be reached, or has not this model or revision.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise CatalogError(f"{name!r} is no name of a model; owner/model is expected.")
    if not catalog.is_dir():
        raise CatalogError(f"Catalog folder {catalog} does not exist.", hint="LABELOP_CATALOG names it.")
    folder = catalog / name.rpartition("/")[2].lower()
    if folder.exists():
        raise CatalogError(f"Folder {folder.name} is in the catalog already.", hint="Remove it to fetch it again.")
    try:
        commit = (fetch or _from_hub)(name, revision, folder)
        content = describe_folder(folder, wishes) | {"version": commit}
        content["reproduce"] = f"labelop models pull {name} --revision {commit}"
        return write_card(content, catalog / f"{content['id']}.yaml")
    except BaseException:
        # half a model must not look like one; a folder that was there before is refused above
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _from_hub(name: str, revision: str, target: Path) -> str:
    try:
        import huggingface_hub  # noqa: PLC0415 - part of an extra
        from huggingface_hub import errors  # noqa: PLC0415
        from huggingface_hub.utils.tqdm import disable_progress_bars  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError(
            "Fetching models needs huggingface_hub, which is not installed.",
            hint="Install it with: pip install 'labelop[torch]'.",
        ) from error
    disable_progress_bars()
    try:
        commit = str(huggingface_hub.HfApi().model_info(name, revision=revision, timeout=20).sha)
        huggingface_hub.snapshot_download(name, revision=commit, allow_patterns=list(WANTED), local_dir=target)
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.GatedRepoError) as error:
        raise SourceUnavailableError(
            f"Model {name} at revision {revision} is not to be had: {type(error).__name__}.",
            hint="Check name and revision; a gated model needs a login of the hub's own tools.",
        ) from error
    except Exception as error:
        # the client raises its own classes, those of its transport, and OSError; all of them mean no connection
        said = (" ".join(str(error).split()) or type(error).__name__)[:160]
        raise SourceUnavailableError(
            f"Model {name} cannot be fetched: {said}.",
            hint="Without a network put the folder beside a card yourself; see docs/how-to/bring-your-own-model.md.",
        ) from error
    shutil.rmtree(target / ".cache", ignore_errors=True)
    return commit
