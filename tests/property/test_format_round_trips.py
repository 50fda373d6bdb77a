"""What is written in a format and read again is what it was, but for what the format is said to drop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from labelop.errors import ReviewError
from labelop.geometry import Box
from labelop.ingest import names
from labelop.ingest.coco import coco_files, read_coco
from labelop.ingest.cvat import cvat_files, read_cvat
from labelop.ingest.labelled import Files, LabelledImage, whole_pixels, write_files
from labelop.ingest.manifest import build_manifest
from labelop.ingest.masks import decode_mask, encode_mask
from labelop.ingest.places import Entry
from labelop.ingest.sources import FoundFile, Source, SourceFormat
from labelop.ingest.truth import Annotations, KnownImage
from labelop.ingest.voc import read_voc, voc_files
from labelop.ingest.yolo import read_yolo, yolo_files
from labelop.labels import AcceptedLabel
from labelop.settings import Settings

Writer = Callable[[Sequence[LabelledImage], Sequence[str]], Files]
FORMATS: dict[SourceFormat, tuple[Writer, Callable[[Source, Mapping[str, KnownImage]], Annotations]]] = {
    "coco": (coco_files, read_coco),
    "cvat": (cvat_files, read_cvat),
    "voc": (voc_files, read_voc),
    "yolo": (yolo_files, read_yolo),
}
HAS_MASKS, HAS_IMAGE_LABEL, HAS_SPLIT, HAS_ALL_CLASSES = {"coco", "cvat"}, {"coco", "cvat"}, {"coco", "cvat", "voc"}, {
    "coco", "cvat", "yolo",
}  # fmt: skip
CLASSES = ("red cell", "<white> & co", "Thrombozyten-ä", "日本")
NAMES = (
    "a.jpg",
    "with blank.jpg",
    "two.dots.png",
    "ünï.png",
    "sub/deep.png",
    "100%.jpg",
    "line\nbreak.jpg",
    "a'\"<&.jpg",
)


@dataclass(frozen=True, slots=True)
class InMemory:
    """Files that were written, as a place to read from."""

    files: Files
    root_uri: str = "memory"

    def walk(self) -> Iterator[Entry]:
        """List them."""
        for path, content in sorted(self.files.items()):
            yield Entry(path, len(content), regular=True)

    def read(self, path: str, max_bytes: int) -> bytes:
        """Read one."""
        assert len(self.files[path]) <= max_bytes
        return self.files[path]

    def head(self, path: str, count: int) -> bytes:
        """Read the beginning of one."""
        return self.files[path][:count]


@st.composite
def labelled(draw: st.DrawFn) -> LabelledImage:
    """Draw an image of any size with boxes of any place, masks, a class of the whole image and a split."""
    width, height = draw(st.integers(1, 4000)), draw(st.integers(1, 40))
    labels = []
    taken = set()
    for number in range(draw(st.integers(0, 4))):
        x0, x1 = sorted(draw(st.lists(st.integers(0, 100 * width), min_size=2, max_size=2, unique=True)))
        y0, y1 = sorted(draw(st.lists(st.integers(0, 100 * height), min_size=2, max_size=2, unique=True)))
        label = AcceptedLabel(f"l{number}", draw(st.sampled_from(CLASSES)), Box(x0 / 100, y0 / 100, x1 / 100, y1 / 100))
        place = (label.label, whole_pixels(x0 / 100, x1 / 100, width), whole_pixels(y0 / 100, y1 / 100, height))
        if place not in taken:  # two that are equal in a file of whole pixels are one object
            labels.append(label)
        taken.add(place)
    if draw(st.booleans()):
        labels.append(AcceptedLabel("whole", draw(st.sampled_from(["farm", "wetland"]))))
    name = draw(st.sampled_from(NAMES))
    return LabelledImage(
        f"images/{names.encode(name.encode())}", width, height, tuple(labels),
        draw(st.sampled_from([None, "train", "val"])),
    )  # fmt: skip


IMAGES = st.lists(labelled(), max_size=4, unique_by=lambda image: image.path)


def known_of(images: Sequence[LabelledImage]) -> dict[str, KnownImage]:
    """Say what the manifest would know about the images."""
    return {image.path: KnownImage(f"id-{image.path}", image.width_px, image.height_px) for image in images}


def there_and_back(form: SourceFormat, images: Sequence[LabelledImage]) -> Annotations:
    """Write labels in a format and read them again."""
    write, read = FORMATS[form]
    place = InMemory(write(images, CLASSES))
    found = tuple(FoundFile(image.path, 1) for image in images)
    return read(Source(place, form, tuple(place.walk()), found), known_of(images))


def assert_same(form: SourceFormat, image: LabelledImage, read: Annotations) -> None:
    """Compare one image with what came back: classes exactly, edges within a pixel."""
    truth = read.truths[image.path]
    assert len(truth.labels) == len(image.objects)
    for before, after in zip(image.objects, truth.labels, strict=True):
        assert before.label == after.label
        assert before.box is not None
        assert after.box is not None
        assert np.abs(np.subtract(before.box.xyxy, after.box.xyxy)).max() < 1
    assert truth.image_label == (image.image_label if form in HAS_IMAGE_LABEL else None)


@pytest.mark.parametrize("form", FORMATS)
@settings(deadline=None, max_examples=60)
@given(images=IMAGES)
def test_labels_come_back(form: SourceFormat, images: list[LabelledImage]) -> None:
    """Objects, classes, the class of the image and the split come back from every format that has a place for them."""
    if not images and form in {"voc", "yolo"}:
        return  # no image, no file: there is nothing to read
    read = there_and_back(form, images)
    assert read.faults == ()
    assert set(read.truths) == {image.path for image in images}
    for image in images:
        assert_same(form, image, read)
    if form in HAS_ALL_CLASSES:
        assert read.categories[: len(CLASSES)] == CLASSES
    blank_ends_a_name = form == "voc"
    wanted = {
        image.path: image.split
        for image in images
        if image.split and not (blank_ends_a_name and len(names.readable(image.path).split()) > 1)
    }
    assert read.splits == (wanted if form in HAS_SPLIT else {})


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 30), st.integers(1, 30), st.data())
def test_masks_come_back_pixel_by_pixel(width: int, height: int, data: st.DataObject) -> None:
    """COCO and CVAT hold any mask exactly, and its box however much wider than the mask that is; the others the box.

    Fails when CVAT's file holds the mask alone: the box came back as the extent of it.
    """
    bits = data.draw(st.lists(st.booleans(), min_size=width * height, max_size=width * height).filter(any))
    mask = np.array(bits).reshape(height, width)
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    far = [data.draw(st.integers(0, int(room))) for room in (columns[0], rows[0])]
    box = Box(*map(float, (*far, columns[-1] + 1, rows[-1] + 1)))
    label = AcceptedLabel("l", CLASSES[0], box, encode_mask(mask))
    for form in FORMATS:
        image = LabelledImage("images/a.png", width, height, (label,))
        (back,) = there_and_back(form, [image]).truths[image.path].labels
        assert back.box == box
        if form in HAS_MASKS:
            assert back.mask_rle is not None
            np.testing.assert_array_equal(decode_mask(back.mask_rle, width, height), mask)
        else:
            assert back.mask_rle is None


@pytest.mark.parametrize("form", FORMATS)
def test_every_orientation_comes_back(form: SourceFormat, tmp_path: Path) -> None:
    """Real files of all eight EXIF orientations: boxes of the upright image come back, none is shifted."""
    pixels = Image.fromarray(np.zeros((20, 60, 3), dtype=np.uint8))
    (tmp_path / "images").mkdir()
    images = []
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        pixels.save(tmp_path / f"images/o{orientation}.jpg", exif=exif)
        width, height = (20, 60) if orientation >= 5 else (60, 20)
        box = Box(0.6, height - 7.3, width - 4.8, height - 0.4)
        labels = (AcceptedLabel("l", CLASSES[1], box),)
        images.append(LabelledImage(f"images/o{orientation}.jpg", width, height, labels))
    write_files(FORMATS[form][0](images, CLASSES), tmp_path)

    manifest = build_manifest(str(tmp_path), "set", form, settings=Settings())

    assert not manifest.quarantine
    orientations = {row["path"]: row["orientation"] for row in manifest.images}
    assert sorted(orientations.values()) == list(range(1, 9))
    paths = {row["image_id"]: row["path"] for row in manifest.images}
    read = Annotations((), {paths[truth.image_id]: truth for truth in manifest.truths}, {}, ())
    for image in images:
        assert_same(form, image, read)


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_labels_make_the_same_bytes(form: SourceFormat) -> None:
    """A file holds no clock and no order of chance, so that a digest can name it."""
    image = LabelledImage("images/a.png", 40, 30, (AcceptedLabel("l", CLASSES[0], Box(1, 2, 3, 4)),), "train")
    assert FORMATS[form][0]([image], CLASSES) == FORMATS[form][0]([replace(image)], CLASSES)


@pytest.mark.parametrize("form", FORMATS)
def test_an_unknown_class_is_refused(form: SourceFormat) -> None:
    """An object whose class is not among the classes is never written under another one, nor left out."""
    image = LabelledImage("images/a.png", 40, 30, (AcceptedLabel("l", "guess", Box(1, 2, 3, 4)),))
    with pytest.raises(ReviewError, match="has an object of class 'guess'"):
        FORMATS[form][0]([image], CLASSES)
    with pytest.raises(ReviewError, match="cannot be written"):
        FORMATS[form][0]([], ["a\x00b"])


@pytest.mark.parametrize("form", ["voc", "yolo"])
def test_images_that_would_share_a_file_are_refused(form: SourceFormat) -> None:
    """Labels named after the image without its ending never fall on each other."""
    images = [LabelledImage(f"images/a.{ending}", 40, 30, ()) for ending in ("png", "jpg")]
    with pytest.raises(ReviewError, match=r"images/a.png and images/a.jpg would share"):
        FORMATS[form][0](images, CLASSES)


@given(st.floats(0, 100), st.floats(0, 100), st.integers(1, 101))
def test_whole_pixels_stay_within_one(low: float, length: float, size: int) -> None:
    """Rounded edges lie in the image, enclose something, and are less than a pixel away."""
    low, high = min(low, size - 0.01), min(low + length + 0.01, size)
    if not low < high:
        return
    a, b = whole_pixels(low, high, size)
    assert 0 <= a < b <= size
    assert max(abs(a - low), abs(b - high)) < 1


def read_shapes(shapes: str) -> Annotations:
    """Read one CVAT image of 8 x 6 pixels with these shapes, of the classes `a` and `b`."""
    names = "".join(f"<label><name>{name}</name></label>" for name in "ab")
    image = f'<image id="0" name="a.png" width="8" height="6">{shapes}</image>'
    place = InMemory(
        {"annotations.xml": f"<annotations><meta><labels>{names}</labels></meta>{image}</annotations>".encode()}
    )
    source = Source(place, "cvat", tuple(place.walk()), (FoundFile("images/a.png", 1),))
    return read_cvat(source, {"images/a.png": KnownImage("id", 8, 6)})


BOX = '<box label="a" xtl="0.5" ytl="0.5" xbr="6" ybr="5" group_id="7" />'
MASK = '<mask label="a" rle="0, 4" left="2" top="2" width="2" height="2" group_id="7" />'
POLYGON = '<polygon label="a" points="2,2;4,2;4,4;2,4" group_id="7" />'
AROUND = (2.0, 2.0, 4.0, 4.0)
WIDE = (0.5, 0.5, 6.0, 5.0)


@pytest.mark.parametrize(
    ("shapes", "boxes"),
    [
        (BOX + MASK, [(WIDE, True)]),
        (MASK + BOX, [(WIDE, True)]),
        (BOX + POLYGON, [(WIDE, True)]),
        (BOX, [(WIDE, False)]),
        (MASK, [(AROUND, True)]),
        (BOX.replace("7", "0") + MASK.replace("7", "0"), [(WIDE, False), (AROUND, True)]),
        (BOX + MASK.replace("7", "8"), [(WIDE, False), (AROUND, True)]),
        (BOX.replace('"a"', '"b"') + MASK, [(WIDE, False), (AROUND, True)]),
        (
            BOX + BOX.replace('"5"', '"6"') + MASK,
            [(WIDE, False), ((*WIDE[:3], 6.0), False), (AROUND, True)],
        ),
        (BOX.replace('"6"', '"1.5"') + MASK, [((0.5, 0.5, 1.5, 5.0), False), (AROUND, True)]),
    ],
)  # fmt: skip
def test_box_and_outline_of_a_group_are_one_object(
    shapes: str, boxes: list[tuple[tuple[float, float, float, float], bool]]
) -> None:
    """A box and an outline of one group and class are one object; whatever else is grouped is what it is alone."""
    read = read_shapes(shapes)
    assert read.faults == ()
    labels = read.truths["images/a.png"].labels
    assert [(label.box.xyxy, label.mask_rle is not None) for label in labels if label.box] == boxes


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        ('rle="0, 4" left="0" top="0" width="2" height="3"', "add up to 6"),
        ('rle="0, 6" left="7" top="0" width="2" height="3"', "stands out"),
        ('rle="0, -6" left="0" top="0" width="2" height="3"', "whole numbers"),
        ('rle="" left="0" top="0" width="2" height="3"', "whole numbers"),
        ('rle="6" left="0" top="0" width="2" height="3"', "without a pixel"),
        ('rle="0, 99999999999" left="0" top="0" width="2" height="3"', "whole numbers"),
    ],
)
def test_broken_masks_of_cvat_cost_themselves(mask: str, said: str) -> None:
    """A mask whose run lengths do not fill their rectangle, or whose rectangle leaves the image, is one fault."""
    read = read_shapes(f'<mask label="a" {mask} /><box label="a" xtl="1" ytl="1" xbr="3" ybr="3" />')
    assert [(fault.reason, said in fault.detail) for fault in read.faults] == [("BAD_MASK", True)]
    assert Counter(label.label for label in read.truths["images/a.png"].labels) == {"a": 1}
