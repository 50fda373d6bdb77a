"""What is said about a file is what an ingest of it would say, or more."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labelop.cli import app
from labelop.errors import ManifestError
from labelop.landing.store import Store, read_rows
from labelop.sensitivity.explain import explain_file
from labelop.sensitivity.levels import Level
from labelop.sensitivity.policy import OwnerRule, SensitivityPolicy, load_policy
from labelop.sensitivity.signals.paths import PathRule
from labelop.settings import Settings

SAMPLE = load_policy(Path("data/sample/config/policy.yaml"))
PICTURE = Path("data/sample/parcels/images/parcel_0000.jpg")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Put a clean photograph into the folder of a patient."""
    folder = tmp_path / "src/patient_07"
    folder.mkdir(parents=True)
    return Path(shutil.copy(PICTURE, folder / "a b%.jpg"))


def said(photo: Path, declared: str | None = "public", policy: SensitivityPolicy = SAMPLE, **options: Any) -> str:
    """Give the level a file is said to have."""
    sections = explain_file(photo, policy, Settings(store=str(photo.parents[2] / "store")), declared, **options)
    return str(sections["level"][0]["level"])


def test_rules_of_folders_are_heard(photo: Path, tmp_path: Path) -> None:
    """A picture in a patient's folder is restricted, as after an ingest; by its name alone it was public."""
    assert (said(photo), said(photo, source=tmp_path / "src")) == ("restricted", "restricted")
    assert said(photo, source=photo.parent) == "public"
    store = str(tmp_path / "store")
    words = ["ingest", str(tmp_path / "src"), "--dataset", "d", "--sensitivity", "public", "--ontology", "parcels"]
    done = CliRunner().invoke(app, [*words, "--store", store])
    assert done.exit_code == 0, done.output
    assert [row["level"] for row in read_rows(Store(store), "levels")] == ["restricted"]


def test_rules_of_roots_and_of_the_top_folder_are_heard(photo: Path, tmp_path: Path) -> None:
    """A rule about the root of a source, or about files right in it, counts where it could count."""
    for rule in (
        PathRule("clinic", "**", Level.CONFIDENTIAL, "file://**/src"),
        PathRule("top", "patient_07/a b%.jpg", Level.CONFIDENTIAL),
    ):
        policy = replace(SAMPLE, path_rules=(rule,))
        assert said(photo, policy=policy) == said(photo, policy=policy, source=tmp_path / "src") == "confidential"
        assert said(photo, policy=policy, source=photo.parent) == "public"


def test_rules_of_owners_are_heard(photo: Path) -> None:
    """Without a dataset the strictest owner counts; with one its own rule, and one without a rule says nothing."""
    owners = {"survey": OwnerRule("Land office", Level.INTERNAL), "ward": OwnerRule("Clinic", Level.CONFIDENTIAL)}
    policy = replace(SAMPLE, owners=owners, path_rules=())
    levels = [said(photo, policy=policy, dataset=name) for name in (None, "ward", "survey", "other")]
    assert levels == ["confidential", "confidential", "internal", "public"]
    # an owner's rule speaks for its images: where nobody is named, that may not open what nobody spoke about
    levels = [said(photo, None, policy=policy, dataset=name) for name in (None, "survey")]
    assert levels == ["restricted", "internal"]


def test_what_was_not_said_is_told(photo: Path, tmp_path: Path) -> None:
    """The answer names root and dataset it is for, and which of them were taken for the strictest."""
    settings = Settings(store=str(tmp_path / "store"))
    [taken] = explain_file(photo, SAMPLE, settings, "public")["taken for"]
    assert (taken["path"], taken["not said, the strictest taken"]) == ("patient_07/a b%.jpg", "source, dataset")
    [taken] = explain_file(photo, SAMPLE, settings, "public", dataset="d", source=tmp_path)["taken for"]
    assert (taken["path"], taken["not said, the strictest taken"]) == ("src/patient_07/a b%.jpg", "")
    with pytest.raises(ManifestError, match="does not lie below"):
        explain_file(photo, SAMPLE, settings, "public", source=tmp_path / "elsewhere")


def test_options_for_files_are_refused_for_images() -> None:
    """An image of the tables has what was ingested: what is said about it besides would change nothing."""
    done = CliRunner().invoke(app, ["classify", "--explain", "ab" * 32, "--dataset", "d", "--store", "/nonexistent"])
    assert done.exit_code == 2
