"""Features are kept within their limit, under their image and model, and on disk only where that is allowed."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest

from labelop.egress.vault import Sealer, Vault
from labelop.engines.base import Features, features_of
from labelop.engines.embeddings import EmbeddingCache, EmbeddingKey
from labelop.engines.fixed import FixedEngine
from labelop.errors import KeysError
from labelop.sensitivity.levels import Level
from tests.unit.engines.models import picture, segmenter

ONE = 4 * 100
"""Bytes of one entry."""


def key(image: str = "a", model: str = "m", engine: str = "onnxruntime") -> EmbeddingKey:
    """Name features."""
    return EmbeddingKey(image, model, engine)


def features(value: float = 0.0) -> Features:
    """Make features of `ONE` bytes."""
    return {"fine": np.full((1, 75), value, np.float32), "coarse": np.full((1, 25), value + 1, np.float32)}


def test_the_least_recently_used_go_first() -> None:
    """Memory stays within its limit, and what was asked for last stays."""
    cache = EmbeddingCache(2 * ONE)
    cache.put(key("a"), features(), Level.PUBLIC)
    cache.put(key("b"), features(), Level.PUBLIC)
    assert cache.get(key("a")) is not None
    cache.put(key("c"), features(), Level.PUBLIC)
    assert [cache.get(key(name)) is not None for name in "abc"] == [True, False, True]
    assert cache.held_bytes == 2 * ONE


def test_what_is_put_twice_counts_once() -> None:
    """The newer features replace the older ones, and the limit is not eaten up by ghosts."""
    cache = EmbeddingCache(2 * ONE)
    for value in range(5):
        cache.put(key(), features(value), Level.PUBLIC)
    found = cache.get(key())
    assert found is not None
    assert (found["fine"][0, 0], cache.held_bytes) == (4, ONE)


def test_what_is_larger_than_the_limit_is_not_held() -> None:
    """One huge image empties nobody else's place."""
    cache = EmbeddingCache(ONE)
    cache.put(key("a"), features(), Level.PUBLIC)
    cache.put(key("b"), {"fine": np.zeros((1, 200), np.float32)}, Level.PUBLIC)
    assert cache.get(key("a")) is not None
    assert cache.get(key("b")) is None


@pytest.mark.parametrize("other", [key("b"), key(model="n"), key(engine="openvino-bf16")])
def test_another_image_model_or_engine_has_no_features(tmp_path: Path, other: EmbeddingKey) -> None:
    """Nothing is answered for what it was not made by, in memory or on disk."""
    cache = EmbeddingCache(folder=tmp_path)
    cache.put(key(), features(), Level.PUBLIC)
    assert cache.get(other) is None


def test_features_of_a_pass_are_copied(tmp_path: Path) -> None:
    """An image's features prompt to the masks of the pass, hold no other image's memory and cannot be changed."""
    engine = FixedEngine(segmenter(tmp_path))
    whole = engine.encode(np.stack([engine.preprocess(picture(seed)) for seed in range(3)]))
    cache = EmbeddingCache()
    cache.put(key(), features_of(whole, 1), Level.RESTRICTED)
    found = cache.get(key())
    assert found is not None
    assert all(value.base is None and not value.flags.writeable for value in found.values())
    boxes = np.array([[1, 2, 9, 9]], dtype=np.float32)
    first, second = engine.prompt(found, boxes), engine.prompt(features_of(whole, 1), boxes)
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_folder_outlives_the_process_and_is_the_owners(tmp_path: Path) -> None:
    """Another cache finds the features, and nobody else may read file or folder."""
    folder = tmp_path / "made" / "features"
    EmbeddingCache(folder=folder).put(key(), features(3), Level.CONFIDENTIAL)
    [file] = folder.iterdir()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, file)] == [0o700, 0o600]
    found = EmbeddingCache(folder=folder).get(key())
    assert found is not None
    assert {name: value.tolist() for name, value in found.items()} == {
        name: value.tolist() for name, value in features(3).items()
    }


def test_restricted_features_are_not_written_unsealed(tmp_path: Path) -> None:
    """Without a sealer they stay in memory, where they are found all the same; no argument says otherwise."""
    cache = EmbeddingCache(folder=tmp_path)
    cache.put(key(), features(), Level.RESTRICTED)
    assert cache.get(key()) is not None
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_breaks_leaves_no_file(tmp_path: Path) -> None:
    """Neither half a file under the name nor a nameless one stays. Fails where the temporary file is left behind."""
    keys = tmp_path / "keys"
    keys.mkdir()
    keys.chmod(0o777)
    sealer = Sealer(Vault(keys), "clinic", "embedding")
    with pytest.raises(KeysError):
        EmbeddingCache(folder=tmp_path / "cache", sealer=sealer).put(key(), features(), Level.PUBLIC)
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half", b"\x80\x04 a pickle"])
def test_a_damaged_file_is_as_none(tmp_path: Path, content: bytes) -> None:
    """Half a file, or a pickle in its place, is not loaded and does not stay; the features are made again."""
    cache = EmbeddingCache(most_bytes=0, folder=tmp_path)
    cache.put(key(), features(), Level.PUBLIC)
    [file] = tmp_path.iterdir()
    file.write_bytes(content)
    assert cache.get(key()) is None
    assert not file.exists()
    cache.put(key(), features(), Level.PUBLIC)
    assert cache.get(key()) is not None


def test_sealed_features_need_the_key_of_their_dataset(tmp_path: Path) -> None:
    """With a vault restricted features are written unreadable, come back, and are gone once the key is shredded."""
    vault = Vault(tmp_path / "keys")
    cache = EmbeddingCache(0, tmp_path / "cache", sealer=Sealer(vault, "clinic", "embedding"))
    cache.put(key(), features(3.0), Level.RESTRICTED)
    [file] = (tmp_path / "cache").iterdir()
    assert b"fine" not in file.read_bytes()
    found = cache.get(key())
    assert found is not None
    assert found["fine"][0, 0] == 3.0
    assert not found["fine"].flags.writeable
    vault.shred("clinic")
    assert cache.get(key()) is None
    assert list((tmp_path / "cache").iterdir()) == []
