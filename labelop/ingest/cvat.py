"""CVAT annotations ("CVAT for images"): one `annotations.xml` for many images.

Boxes, polygons, masks and image tags are read; other shapes (points, polylines, skeletons) have no place in the
canonical frame and are faults. A name or address inside the file is looked up among the files found, never opened.
Knows no pixels.

An object with box and mask is two shapes of one group, as CVAT groups them: the format has no shape with both. A group
of one box and one outline of the same class that touch is one object, and what is left where a person removed one of
the two is one as well; an outline alone has the box around it. Of two classes they are two objects of somebody else's
group, or one object of which a person relabelled one shape: truth is taken as it stands, a review is asked again.

A file written here and read again lacks: ids of labels and of the drafts they came from, vertices of outlines (masks
are run lengths), keypoints, the second and further classes of a whole image, and more than two decimals of a pixel.
Classes of whole images come back among those of objects: the format has one list.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count, pairwise
from typing import BinaryIO
from xml.etree.ElementTree import Element, SubElement

import numpy as np
from numpy.typing import NDArray

from labelop.errors import AnnotationError
from labelop.ids import digest_of_file
from labelop.ingest.gathering import Gathering
from labelop.ingest.labelled import Files, LabelledImage, class_numbers, file_name, short, xml_bytes
from labelop.ingest.masks import decode_mask, encode_mask, lie_apart, polygons_mask
from labelop.ingest.sources import Source
from labelop.ingest.truth import (
    Annotations,
    FaultList,
    KnownImage,
    bad_record,
    checked_box,
    class_name,
    number_of,
)
from labelop.labels import AcceptedLabel, Ontology
from labelop.streamed_text import MAX_FILE_BYTES, xml_records

_EDGES = ("xtl", "ytl", "xbr", "ybr")
_NO_IMAGES = ("version", "meta")
_DIGITS = 10  # as many as a number of pixels has
_SHAPES = ("box", "polygon", "mask")
_NO_GROUP = "0"
_PAIR = 2


def read_cvat(source: Source, known: Mapping[str, KnownImage], ontology: Ontology | None = None) -> Annotations:
    """Read `annotations.xml` and every XML file of `annotations/`.

    Args:
        source: A CVAT source; images lie in `images/` or beside the file.
        known: Usable images by encoded path.
        ontology: Classes that labels of a review may have; None for truth.

    Returns:
        Labels by image path; a file, image or shape that breaks its form is a fault and its siblings are kept.

    Raises:
        AnnotationError: The source has no such file.
    """
    paths = [*source.side_files("annotations.xml"), *source.side_files("annotations/*.xml")]
    if not paths:
        raise AnnotationError(
            f"Source {source.root_uri} has no annotations.xml and no annotations/*.xml.",
            hint="Use --source-format folder for bare images.",
        )
    gathering = Gathering(source, known, ontology)
    categories: dict[str, None] = {}
    for path in paths:
        gathering.stream(path, MAX_FILE_BYTES, partial(_read_document, gathering, categories))
    return gathering.annotations(categories)


def cvat_files(images: Sequence[LabelledImage], classes: Sequence[str]) -> Files:
    """Write labels as one `annotations.xml`.

    Args:
        images: Images with their accepted labels, in the order they are written.
        classes: Class names of objects.

    Returns:
        The file; equal for equal labels.

    Raises:
        ReviewError: An object has none of the classes.
        AnnotationError: A mask is none of its image.
    """
    class_numbers(images, classes, first=0)
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    labels = SubElement(SubElement(SubElement(root, "meta"), "task"), "labels")
    whole = sorted({image.image_label for image in images if image.image_label} - set(classes))
    for name in (*classes, *whole):
        SubElement(SubElement(labels, "label"), "name").text = name
    groups = map(str, count(1))  # 0 is none, and CVAT numbers them over the whole task
    for key, image in enumerate(images):
        node = SubElement(root, "image", id=str(key), name=file_name(image.path))
        node.attrib |= {"width": str(image.width_px), "height": str(image.height_px)}
        if image.split is not None:
            node.set("subset", image.split)
        if image.image_label is not None:
            SubElement(node, "tag", label=image.image_label, source="manual")
        for label in image.objects:
            edges = label.box.xyxy if label.box else ()
            places = {"box": {name: short(edge) for name, edge in zip(_EDGES, edges, strict=True)}}
            if label.mask_rle:
                places["mask"] = _runs(decode_mask(label.mask_rle, image.width_px, image.height_px))
            together = {"group_id": next(groups)} if len(places) > 1 else {}
            for tag, place in places.items():
                shape = SubElement(node, tag, label=label.label, source="manual")
                shape.attrib |= {"occluded": "0", **place, "z_order": "0", **together}
    return {"annotations.xml": xml_bytes(root)}


def _runs(mask: NDArray[np.bool_]) -> dict[str, str]:
    """Write the run lengths of a mask, row by row within its extent and from background on."""
    left, top, right, bottom = _extent(mask)
    flat = mask[top:bottom, left:right].ravel()
    turns = [0, *(np.flatnonzero(np.diff(flat)) + 1).tolist(), len(flat)]
    runs = [0] * int(flat[0]) + [after - before for before, after in pairwise(turns)]
    sizes = {"left": left, "top": top, "width": right - left, "height": bottom - top}
    return {"rle": ", ".join(map(str, runs)), **{name: str(value) for name, value in sizes.items()}}


def _extent(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Give left, top, right and bottom of what is painted, in pixels."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(columns):
        raise bad_record("BAD_MASK", "A mask without a pixel has no place.")
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _read_document(gathering: Gathering, categories: dict[str, None], file: BinaryIO, notes: FaultList) -> None:
    for node in xml_records(file, "annotations"):
        for number, label in enumerate(node.findall(".//labels/label") if node.tag == "meta" else (), start=1):
            if (name := class_name(label.findtext("name"))) is not None:
                categories[name] = None
            else:
                notes.add(f"/annotations/meta//label[{number}]", "BAD_RECORD", "A label needs a name.")
    resolver, digest, counts = gathering.source.resolver(), digest_of_file(file), Counter[str]()
    for node in xml_records(file, "annotations"):
        counts[node.tag] += 1
        pointer = f"/annotations/{node.tag:.40}[{counts[node.tag]}]"
        if node.tag not in ("image", *_NO_IMAGES):
            notes.add(pointer, "BAD_RECORD", f"What stands in <{node.tag:.40}> belongs to no image: it is not read.")
        if node.tag != "image":
            continue
        name = node.get("name") or ""
        path = resolver.find(name) if name else None
        if path is None:
            notes.add(pointer, "MISSING_IMAGE", f"No file of the source is called {name!r:.200}.")
            continue
        gathering.put_split(notes, pointer, path, node.get("subset"))
        declared = (number_of(node.get("width")), number_of(node.get("height")))
        image = gathering.claim(notes, pointer, path, declared)
        if image is not None:
            labels, whole = _labels(node, pointer, categories, image, notes)
            gathering.settle(notes, pointer, path, labels, digest, whole=whole)


def _labels(
    node: Element, pointer: str, categories: Mapping[str, None], image: KnownImage, notes: FaultList
) -> tuple[list[AcceptedLabel | None], list[str]]:
    """Read objects, None for each that was refused, and classes of the whole image."""
    labels: list[AcceptedLabel | None] = []
    groups: defaultdict[str, list[int]] = defaultdict(list)
    whole: dict[str, None] = {}
    counts = Counter[str]()
    for shape in node:
        counts[shape.tag] += 1
        at = f"{pointer}/{shape.tag:.40}[{counts[shape.tag]}]"
        name = class_name(shape.get("label"))
        if shape.tag == "tag" and name is not None and name in categories:
            whole[name] = None
        elif shape.tag != "attribute":
            groups[shape.get("group_id") or _NO_GROUP].append(len(labels))
            labels.append(notes.attempt(at, partial(_label, shape, categories, image), image.image_id))
    doubled: set[int] = set()
    for group, places in groups.items():
        pair = _pair([labels[place] for place in places]) if group != _NO_GROUP else None
        if pair is None:
            continue
        box, outline = pair
        first, second = places
        if box.label == outline.label:
            labels[first] = replace(outline, box=box.box)
            doubled.add(second)
        elif notes.classes is not None:
            said = (
                f"Box and outline of group {group!r:.40} are one object and have the classes {box.label!r:.80} and "
                f"{outline.label!r:.80}: relabel both, or take them out of the group if they are two objects."
            )
            notes.add(pointer, "CLASS_CONFLICT", said, image.image_id)
            labels[first] = None
    return [label for place, label in enumerate(labels) if place not in doubled], list(whole)


def _pair(shapes: Sequence[AcceptedLabel | None]) -> tuple[AcceptedLabel, AcceptedLabel] | None:
    """Give box and outline of a group that is these two and where they touch; None for every other group."""
    boxes = [shape for shape in shapes if shape and not shape.mask_rle]
    outlines = [shape for shape in shapes if shape and shape.mask_rle]
    if len(shapes) != _PAIR or len(boxes) != len(outlines):
        return None
    (box,), (outline,) = boxes, outlines
    if not box.box or not outline.box or lie_apart(box.box.xyxy, outline.box.xyxy):
        return None
    return box, outline


def _label(shape: Element, categories: Mapping[str, None], image: KnownImage) -> AcceptedLabel:
    if shape.tag not in (*_SHAPES, "tag"):
        raise bad_record("BAD_RECORD", f"A shape <{shape.tag:.40}> is no {', '.join(_SHAPES)}.")
    name = class_name(shape.get("label"))
    if name is None or name not in categories:
        raise bad_record("UNKNOWN_CATEGORY", f"Label {name!r:.80} is none of the {len(categories)} that are listed.")
    if number_of(shape.get("rotation") or "0") != 0:
        raise bad_record("BAD_BOX", "A turned box has no edges along those of its image.")
    if shape.tag == "box":
        return AcceptedLabel("", name, checked_box([number_of(shape.get(edge)) for edge in _EDGES], image))
    if shape.tag == "mask":
        painted = _painted(shape, image)
        edges = _extent(painted)
        return AcceptedLabel("", name, checked_box(edges, image), encode_mask(painted))
    points = [number_of(word) for pair in (shape.get("points") or "").split(";") for word in pair.split(",")]
    mask = polygons_mask([points], image.width_px, image.height_px)
    numbers = [float(point) for point in points if point is not None and not isinstance(point, str)]
    xs, ys = numbers[::2], numbers[1::2]
    return AcceptedLabel("", name, checked_box((min(xs), min(ys), max(xs), max(ys)), image), mask)


def _painted(shape: Element, image: KnownImage) -> NDArray[np.bool_]:
    """Read run lengths, row by row within left, top, width and height and from background on; shape (height, width)."""
    words = [shape.get(name) or "" for name in ("left", "top", "width", "height")]
    runs = [word.strip() for word in (shape.get("rle") or "").split(",")]
    if not all(word.isascii() and word.isdigit() and len(word) < _DIGITS for word in (*words, *runs)):
        raise bad_record("BAD_MASK", "A mask needs left, top, width, height and run lengths as whole numbers.")
    left, top, width, height = map(int, words)
    if left + width > image.width_px or top + height > image.height_px:
        raise bad_record("BAD_MASK", f"Mask {words} stands out of its image of {image.width_px} x {image.height_px}.")
    lengths = [int(run) for run in runs]
    if sum(lengths) != width * height:
        raise bad_record("BAD_MASK", f"The run lengths of a mask must add up to {width * height} pixels.")
    painted = np.zeros((image.height_px, image.width_px), dtype=np.bool_)
    flat = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    painted[top : top + height, left : left + width] = flat.reshape(height, width)
    return painted
