"""Levels follow the evidence, and everything unclear is restricted."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from labelop.errors import ManifestError, SourceUnavailableError
from labelop.ingest.manifest import build_manifest, land_manifest
from labelop.landing.store import Store, land, open_store, read_rows
from labelop.runs import INGESTED, RunEvent, record
from labelop.schemas import table
from labelop.sensitivity.classify import classify_dataset, classify_image
from labelop.sensitivity.keys import token_key
from labelop.sensitivity.policy import Level, SensitivityPolicy, load_policy
from labelop.sensitivity.signals import metadata
from labelop.sensitivity.signals.base import keyed_token
from labelop.sensitivity.signals.looking import Looker
from labelop.settings import Settings

TODAY = date(2026, 11, 20)


def picture(kind: str = "JPEG", *, gps: bool = False, colour: str = "red", xmp: bytes | None = None) -> bytes:
    """Encode a tiny picture, with a position where asked."""
    exif = Image.Exif()
    if gps and kind == "TIFF":
        # the TIFF writer takes over a position it read from a file, none that was made in memory
        exif = Image.open(io.BytesIO(picture(gps=True))).getexif()
    elif gps:
        exif[0x0131] = "drawn"  # Pillow writes no block at all into PNG and TIFF when the position stands alone
        exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 30.0), 3: "E", 4: (2.0, 17.0, 40.0)})
    out = io.BytesIO()
    options: dict[str, object] = {"exif": exif}
    if xmp is not None:
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", xmp.decode(), zip=True)
        options["pnginfo"] = info
    Image.new("RGB", (4, 4), colour).save(out, kind, **options)
    return out.getvalue()


@pytest.fixture(scope="module")
def policy() -> SensitivityPolicy:
    """Give the sample's policy as of a fixed day."""
    return load_policy(Path("data/sample/config/policy.yaml"), today=TODAY)


LOOKER = Looker(1)
"""One child for all tests of this file; it starts when it is first asked."""


@pytest.fixture(scope="module", autouse=True)
def _looker_ends() -> Iterator[None]:
    with LOOKER:
        yield


def classify(
    policy: SensitivityPolicy, declared: Sequence[str | None], paths: Sequence[str] = ("a.jpg",), data: bytes = b""
) -> tuple[str, str]:
    """Classify one image; level and reason."""
    _, level, reason = classify_image(
        declared=declared, paths=paths, read=lambda: data or picture(), policy=policy, look=LOOKER.look
    )
    return level.text, reason


@pytest.mark.parametrize(
    ("declared", "path", "gps", "expected"),
    [
        ("public", "a.jpg", False, ("public", "declared:declared_level")),
        ("internal", "a.jpg", False, ("internal", "declared:declared_level")),
        (None, "a.jpg", False, ("restricted", "declared:unknown")),
        ("pubic", "a.jpg", False, ("restricted", "declared:declared_level")),
        ("public", "a.jpg", True, ("restricted", "metadata:gps")),
        ("public", "ward%201/Patient_7/a.jpg", False, ("restricted", "path:path_rule")),
        (None, "identified/a.jpg", False, ("confidential", "path:path_rule")),
    ],
)
def test_level_is_the_highest_finding(
    policy: SensitivityPolicy, declared: str | None, path: str, gps: bool, expected: tuple[str, str]
) -> None:
    """Declared level, path and position each count; nothing said means restricted."""
    assert classify(policy, [declared], [path], picture(gps=gps)) == expected


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_positions_are_found_in_every_format(policy: SensitivityPolicy, kind: str) -> None:
    """A GPS block is seen wherever EXIF can be written."""
    assert classify(policy, ["public"], data=picture(kind, gps=True)) == ("restricted", "metadata:gps")
    assert classify(policy, ["public"], data=picture(kind)) == ("public", "declared:declared_level")


def test_positions_in_later_pages_are_found(policy: SensitivityPolicy) -> None:
    """A position in any page of a TIFF counts, although only the first is labelled, and that nobody sees the others."""
    out = io.BytesIO()
    second = Image.new("RGB", (4, 4))
    second.encoderinfo = {"exif": Image.open(io.BytesIO(picture(gps=True))).getexif()}
    Image.new("RGB", (4, 4)).save(out, "TIFF", save_all=True, append_images=[second])
    assert 0x8825 not in Image.open(out).getexif()

    assert classify(policy, ["public"], data=out.getvalue()) == ("restricted", "metadata:gps, metadata:notes_unknown")


def test_positions_in_packed_xmp_are_found(policy: SensitivityPolicy) -> None:
    """A position in a compressed XMP block counts like one in EXIF."""
    data = picture("PNG", xmp=b"<x:xmpmeta exif:GPSLatitude='48,51.5N'></x:xmpmeta>")

    assert classify(policy, ["public"], data=data) == ("restricted", "metadata:gps")


def test_a_failing_signal_means_restricted(policy: SensitivityPolicy) -> None:
    """Bytes that cannot be read or looked into are restricted, whatever was declared."""

    def gone() -> bytes:
        raise FileNotFoundError

    _, level, reason = classify_image(declared=["public"], paths=["a.jpg"], read=gone, policy=policy)

    assert (level, reason) == (Level.RESTRICTED, "metadata:signal_error")
    assert classify(policy, ["public"], data=b"broken") == ("restricted", "metadata:signal_error")


def test_no_file_is_opened_in_this_process(policy: SensitivityPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes hold pictures in the picture, so the child reads them; the worker itself decoded their thumbnails."""

    def opened(*_: object, **__: object) -> None:
        raise AssertionError("hostile bytes were opened in the worker's own process")

    monkeypatch.setattr(Image, "open", opened)
    monkeypatch.setattr(metadata, "observe", opened)
    thumbnail = (Path("data/sample/sensitivity/images") / "thumbnail_differs_00.jpg").read_bytes()
    assert classify(policy, ["public"], data=thumbnail) == ("restricted", "metadata:thumbnail_differs")


def test_copies_cannot_launder_each_other(policy: SensitivityPolicy) -> None:
    """The highest level among copies counts, and a copy nobody spoke about is an unknown one."""
    two = ("a.jpg", "b.jpg")

    assert classify(policy, ["public", "confidential"], two)[0] == "confidential"
    assert classify(policy, ["public", None], two) == ("restricted", "declared:unknown")
    assert classify(policy, ["public", "public"], ("a.jpg", "patients/b.jpg"))[0] == "restricted"


def test_a_stale_policy_restricts_everything() -> None:
    """After its date no image is anything but restricted."""
    stale = load_policy(Path("data/sample/config/policy.yaml"), today=date(2050, 1, 1))

    assert classify(stale, ["public"]) == ("restricted", "declared:stale_policy")


def test_findings_give_nothing_away(policy: SensitivityPolicy) -> None:
    """No coordinate, no path and no declared text is repeated as evidence."""
    findings, _, _ = classify_image(
        declared=["Mr Smith"],
        paths=["patients/smith.jpg"],
        read=lambda: picture(gps=True),
        policy=policy,
        look=LOOKER.look,
    )

    said = " ".join(found.evidence for found in findings).lower()
    assert len(findings) == 3
    assert not any(word in said for word in ("smith", "48", "51", "17", ".jpg"))


def test_a_dataset_is_classified_once_per_policy(tmp_path: Path, policy: SensitivityPolicy) -> None:
    """Levels and findings land for every usable image, also of copies, and a second call only reads them."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.jpg").write_bytes(picture())
    (source / "b.jpg").write_bytes(picture(gps=True))
    (source / "copy.jpg").write_bytes(picture())
    (source / "broken.jpg").write_bytes(b"")
    (source / "levels.csv").write_text("file_name,level\na.jpg,public\nb.jpg,public\ncopy.jpg,internal\n")
    settings = Settings(store=str(tmp_path / "store"))
    store = open_store(settings)
    manifest = build_manifest(str(source), "set", "folder", settings=settings)
    land_manifest(store, manifest, "run-1")

    counts = classify_dataset(store, "set", manifest.dataset_version, policy, settings, "run-1")
    again = classify_dataset(store, "set", manifest.dataset_version, policy, settings, "run-2")

    assert counts == again == {"public": 0, "internal": 1, "confidential": 0, "restricted": 1}
    levels, findings = read_rows(store, "levels"), read_rows(store, "findings")
    assert sorted((row["level"], row["reason"], row["run_id"]) for row in levels) == [
        ("internal", "declared:declared_level", "run-1"),
        ("restricted", "metadata:gps", "run-1"),
    ]
    assert sorted((row["signal"], row["category"]) for row in findings) == [
        ("declared", "declared_level"),
        ("declared", "declared_level"),
        ("metadata", "gps"),
    ]
    assert {row["policy_digest"] for row in levels} == {policy.digest}


def test_changed_originals_are_restricted(tmp_path: Path, policy: SensitivityPolicy) -> None:
    """Bytes that are no longer those of the manifest are not trusted."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source/a.jpg").write_bytes(picture())
    settings = Settings(store=str(tmp_path / "store"))
    store = open_store(settings)
    manifest = build_manifest(str(tmp_path / "source"), "set", "folder", declared_level="public", settings=settings)
    land_manifest(store, manifest, "run-1")
    (tmp_path / "source/a.jpg").write_bytes(picture(colour="blue"))

    counts = classify_dataset(store, "set", manifest.dataset_version, policy, settings, "run-1")

    assert counts["restricted"] == 1


def test_a_source_that_is_away_restricts_nothing(tmp_path: Path, policy: SensitivityPolicy) -> None:
    """With the root gone nothing lands, and when it is back the images have their own levels."""
    settings = Settings(store=str(tmp_path / "store"))
    store, version = one_public_image(settings, tmp_path / "source")
    (tmp_path / "source").rename(tmp_path / "away")
    with pytest.raises(SourceUnavailableError):
        classify_dataset(store, "set", version, policy, settings, "run-1")
    assert read_rows(store, "levels") == read_rows(store, "findings") == []
    (tmp_path / "away").rename(tmp_path / "source")
    assert classify_dataset(store, "set", version, policy, settings, "run-2")["public"] == 1


def test_the_newest_look_counts_though_the_clock_was_set_back(tmp_path: Path, policy: SensitivityPolicy) -> None:
    """An older look, stamped while the clock was a day ahead, does not outlive the one of now."""
    settings = Settings(store=str(tmp_path / "store"))
    store, version = one_public_image(settings, tmp_path / "source")
    [image] = read_rows(store, "images")
    row = {"dataset": "set", "dataset_version": version, "image_id": image["image_id"], "level": "restricted"}
    row |= {"policy_digest": policy.digest, "landed_at": datetime.now(UTC) + timedelta(days=1)}
    land(store, "levels", [dict.fromkeys(table("levels").schema.names) | row], "older")
    assert classify_dataset(store, "set", version, policy, settings, "run-2")["public"] == 1


@pytest.mark.parametrize("told", ["event", "caller"])
def test_a_moved_source_is_followed(tmp_path: Path, policy: SensitivityPolicy, told: str) -> None:
    """Files are read from where they were last ingested, or where this run finds them, not from their first place."""
    settings = Settings(store=str(tmp_path / "store"))
    store, version = one_public_image(settings, tmp_path / "source")
    (tmp_path / "source").rename(tmp_path / "moved")
    root = str(tmp_path / "moved" if told == "event" else tmp_path / "gone")
    record(store, RunEvent("run-1", "set", version, INGESTED, source_uri=root))
    now = str(tmp_path / "moved") if told == "caller" else None
    assert classify_dataset(store, "set", version, policy, settings, "run-1", source_uri=now)["public"] == 1


def test_a_file_that_is_gone_for_good_is_restricted(tmp_path: Path, policy: SensitivityPolicy) -> None:
    """A fault of the file itself, in a source that is there, stays a finding."""
    settings = Settings(store=str(tmp_path / "store"))
    store, version = one_public_image(settings, tmp_path / "source")
    (tmp_path / "source/a.jpg").rename(tmp_path / "source/b.jpg")
    assert classify_dataset(store, "set", version, policy, settings, "run-1")["restricted"] == 1


def one_public_image(settings: Settings, folder: Path) -> tuple[Store, str]:
    """Land a dataset of one image that its owner calls public; the store and the version."""
    folder.mkdir()
    (folder / "a.jpg").write_bytes(picture())
    store = open_store(settings)
    manifest = build_manifest(str(folder), "set", "folder", declared_level="public", settings=settings)
    land_manifest(store, manifest, "run-1")
    return store, manifest.dataset_version


def test_an_unknown_dataset_is_an_error(tmp_path: Path, policy: SensitivityPolicy) -> None:
    """Nothing to classify is told with what to do first."""
    settings = Settings(store=str(tmp_path))
    with pytest.raises(ManifestError, match="labelop ingest"):
        classify_dataset(open_store(settings), "set", "v-0", policy, settings, "run-1")


def test_notes_have_the_tokens_of_their_store(tmp_path: Path, policy: SensitivityPolicy) -> None:
    """Equal names in two images are told by equal tokens, never by the name; notes had no token in tables before."""
    settings = Settings(store=str(tmp_path / "store"))
    source = tmp_path / "source"
    source.mkdir()
    for name, colour in (("a.jpg", "red"), ("b.jpg", "blue")):
        exif = Image.Exif()
        exif[0x013B] = "A. Miller"
        Image.new("RGB", (4, 4), colour).save(source / name, exif=exif)
    manifest = build_manifest(str(source), "set", "folder", settings=settings)
    land_manifest(open_store(settings), manifest, "run-1")
    classify_dataset(open_store(settings), "set", manifest.dataset_version, policy, settings, "run-1")
    tokens = [row["token"] for row in read_rows(open_store(settings), "findings") if row["category"] == "owner"]
    assert len(tokens) == 2
    assert len(set(tokens)) == 1
    assert tokens[0] == keyed_token(token_key(settings), "owner", "A. Miller")
