"""CVAT annotations ("CVAT for images"): one `annotations.xml` for many images.

Boxes, polygons and image tags are read; other shapes (points, polylines, skeletons) have no place in the canonical
frame and are faults. A name or address inside the file is looked up among the files found, never opened.
Knows no pixels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from xml.etree.ElementTree import Element

from labelop.errors import AnnotationError, UnreadableImageError
from labelop.ids import sha256_hex
from labelop.ingest.masks import polygons_mask
from labelop.ingest.sources import Resolver, Source
from labelop.ingest.truth import (
    Annotations,
    Fault,
    FaultList,
    ImageTruth,
    KnownImage,
    bad_record,
    checked_box,
    number_of,
    split_name,
    with_ids,
)
from labelop.labels import AcceptedLabel
from labelop.strict_text import read_xml

_EDGES = ("xtl", "ytl", "xbr", "ybr")
_NO_SHAPES = ("tag", "attribute")


def read_cvat(source: Source, known: Mapping[str, KnownImage]) -> Annotations:
    """Read `annotations.xml`, or every XML file of `annotations/`.

    Args:
        source: A CVAT source; images lie in `images/` or beside the file.
        known: Usable images by encoded path.

    Returns:
        Labels by image path; a file, image or shape that breaks its form is a fault and its siblings are kept.

    Raises:
        AnnotationError: The source has no such file.
    """
    paths = source.side_files("annotations.xml") or source.side_files("annotations/*.xml")
    if not paths:
        raise AnnotationError(
            f"Source {source.root_uri} has no annotations.xml and no annotations/*.xml.",
            hint="Use --source-format folder for bare images.",
        )
    reader = _Reader(source.resolver(), known)
    for path in paths:
        reader.read_file(source, path)
    return Annotations(tuple(reader.categories), reader.truths, reader.splits, tuple(reader.faults))


@dataclass(slots=True)
class _Reader:
    resolver: Resolver
    known: Mapping[str, KnownImage]
    categories: dict[str, None] = field(default_factory=dict)
    truths: dict[str, ImageTruth] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def read_file(self, source: Source, path: str) -> None:
        faults = FaultList(path)
        try:
            data = source.read(path)
            root = read_xml(data, "annotations")
        except ValueError as error:
            faults.add("#", "BAD_ANNOTATIONS", f"The file {error}.")
        except UnreadableImageError as error:
            faults.add("#", "BAD_ANNOTATIONS", error.message)
        else:
            names = (node.findtext("name") or "" for node in root.findall("meta//labels/label"))
            self.categories.update(dict.fromkeys(name.strip() for name in names if name.strip()))
            for number, node in enumerate(root.findall("image"), start=1):
                self._image(node, f"/annotations/image[{number}]", sha256_hex(data), faults)
        self.faults += faults.faults

    def _image(self, node: Element, pointer: str, digest: str, faults: FaultList) -> None:
        name = node.get("name") or ""
        path = self.resolver.find(name) if name else None
        if path is None:
            faults.add(pointer, "MISSING_IMAGE", f"No file of the source is called {name!r:.200}.")
            return
        if (split := split_name(node.get("subset"))) is not None:
            self.splits[path] = split
        if path in self.truths:
            image_id = self.truths[path].image_id
            faults.add(pointer, "BAD_RECORD", f"Another record holds the labels of {path}.", image_id)
            return
        declared = (number_of(node.get("width")), number_of(node.get("height")))
        image = faults.image_of(pointer, path, declared, self.known)
        if image is None:
            return
        labels, counts = [], defaultdict[str, int](int)
        for shape in node:
            counts[shape.tag] += 1
            if shape.tag in _NO_SHAPES:
                continue
            at = f"{pointer}/{shape.tag:.40}[{counts[shape.tag]}]"
            label = faults.attempt(at, partial(_label, shape, self.categories, image), image.image_id)
            if label is not None:
                labels.append(label)
        tag = node.find("tag")
        whole = (tag.get("label") or "").strip() or None if tag is not None else None
        self.truths[path] = ImageTruth(image.image_id, with_ids(image.image_id, labels), whole, digest)


def _label(shape: Element, categories: Mapping[str, None], image: KnownImage) -> AcceptedLabel:
    if shape.tag not in ("box", "polygon"):
        raise bad_record("BAD_RECORD", f"A shape <{shape.tag:.40}> is no box and no polygon.")
    name = (shape.get("label") or "").strip()
    if name not in categories:
        raise bad_record("UNKNOWN_CATEGORY", f"Label {name!r:.80} is not one of {sorted(categories)}.")
    if number_of(shape.get("rotation") or "0") != 0:
        raise bad_record("BAD_BOX", "A turned box has no edges along those of its image.")
    if shape.tag == "box":
        return AcceptedLabel("", name, checked_box([number_of(shape.get(edge)) for edge in _EDGES], image))
    points = [number_of(word) for pair in (shape.get("points") or "").split(";") for word in pair.split(",")]
    mask = polygons_mask([points], image.width_px, image.height_px)
    numbers = [float(point) for point in points if point is not None and not isinstance(point, str)]
    xs, ys = numbers[::2], numbers[1::2]
    return AcceptedLabel("", name, checked_box((min(xs), min(ys), max(xs), max(ys)), image), mask)
