"""The operator's files together: each may be sound and they still do not fit."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from labelop.configuration import load_configuration
from labelop.errors import CatalogError
from labelop.settings import load_settings

CONFIG = Path(__file__).resolve().parents[3] / "data/sample/config"


@pytest.mark.parametrize("named", ["parcels-tiny", "cells-small"])
def test_every_arm_is_checked_before_a_night(tmp_path: Path, named: str) -> None:
    """A model that is missing, or one of another ontology, is refused when the files are read."""
    shutil.copytree(CONFIG, tmp_path / "config")
    settings = load_settings().model_copy(update={"config": tmp_path / "config"})
    assert load_configuration(settings).routing.arms
    routing = tmp_path / "config/routing.yaml"
    routing.write_text(routing.read_text().replace("detector: parcels-small", f"detector: {named}"))
    with pytest.raises(CatalogError, match=rf"routing\.yaml: arm 'local' of .*'parcels': key detector .*{named}"):
        load_configuration(settings)
