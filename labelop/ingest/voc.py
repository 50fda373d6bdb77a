"""Pascal VOC annotations: one XML file per image, splits in text files of names.

Edges are taken as written, as coordinates of the pixel grid from 0 to the width: the writers in use (and the published
blood-cell photographs) do so, although the original definition counts pixels from 1. Knows no pixels.

Files written here and read again lack: fractions of pixels (edges are rounded, never to nothing), masks, outlines,
keypoints, classes of the whole image, classes without an object, the split of images with a blank in their name, and
ids of labels and of the drafts they came from.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import PurePosixPath
from xml.etree.ElementTree import Element, SubElement

from labelop.errors import AnnotationError
from labelop.geometry import Box
from labelop.ids import sha256_hex
from labelop.ingest import names
from labelop.ingest.gathering import Gathering
from labelop.ingest.labelled import (
    Files,
    LabelledImage,
    class_numbers,
    file_name,
    one_file_each,
    whole_pixels,
    xml_bytes,
)
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
from labelop.strict_text import MAX_BYTES, read_xml

_FOLDERS = ("annotations/", "Annotations/")
_SPLIT_FOLDERS = ("", "ImageSets/Main/")
_EDGES = ("xmin", "ymin", "xmax", "ymax")


def read_voc(source: Source, known: Mapping[str, KnownImage], ontology: Ontology | None = None) -> Annotations:
    """Read the XML files of `annotations/` and the lists `train.txt` and `val.txt`.

    Args:
        source: A VOC source; lists lie at its root or in `ImageSets/Main/`.
        known: Usable images by encoded path.
        ontology: Classes that labels of a review may have; None for truth.

    Returns:
        Labels by image path; a file or object that breaks its form is a fault and its siblings are kept.

    Raises:
        AnnotationError: The source has no XML files.
    """
    paths = [path for folder in _FOLDERS for path in source.below(folder, ".xml")]
    if not paths:
        raise AnnotationError(
            f"Source {source.root_uri} has no annotations/*.xml.", hint="Use --source-format folder for bare images."
        )
    found = [file.path for file in source.found()]
    by_stem: dict[str, list[str]] = defaultdict(list)
    for path in found:
        by_stem[PurePosixPath(path).stem].append(path)
    gathering = Gathering(source, known, ontology)
    for path in paths:
        gathering.read(path, MAX_BYTES, partial(_read_document, gathering, by_stem))
    for split in ("train", "val"):
        for path in (path for folder in _SPLIT_FOLDERS for path in source.side_files(f"{folder}{split}.txt")):
            gathering.read(path, MAX_BYTES, partial(_read_list, gathering, by_stem, split))
    categories = sorted({label.label for truth in gathering.truths.values() for label in truth.labels})
    return gathering.annotations(categories)


def voc_files(images: Sequence[LabelledImage], classes: Sequence[str]) -> Files:
    """Write labels as one `annotations/<stem>.xml` per image, and `train.txt` and `val.txt` where images have a split.

    Args:
        images: Images with their accepted labels.
        classes: Class names of objects.

    Returns:
        The files; equal for equal labels.

    Raises:
        ReviewError: An object has none of the classes, or two images have one stem.
    """
    class_numbers(images, classes, first=0)
    place = {image.path: f"annotations/{PurePosixPath(image.path).stem}.xml" for image in images}
    one_file_each(images, place, "Pascal VOC")
    files = {place[image.path]: xml_bytes(_document(image)) for image in images}
    for split in ("train", "val"):
        stems = [names.decode(PurePosixPath(image.path).stem) for image in images if image.split == split]
        # a list of names ends each of them at a blank
        if listed := [stem for stem in stems if stem.split() == [stem]]:
            files[f"{split}.txt"] = b"\n".join(listed) + b"\n"
    return files


def rounded(box: Box, width_px: int, height_px: int) -> tuple[int, int, int, int]:
    """Give the edges that stand for a box in a file: x0, y0, x1, y1 in whole pixels of an image of that size."""
    (x0, x1), (y0, y1) = whole_pixels(box.x0, box.x1, width_px), whole_pixels(box.y0, box.y1, height_px)
    return x0, y0, x1, y1


def _document(image: LabelledImage) -> Element:
    root = Element("annotation")
    _text(root, "filename", PurePosixPath(file_name(image.path)).name)
    size = SubElement(root, "size")
    for name, number in (("width", image.width_px), ("height", image.height_px), ("depth", 3)):
        _text(size, name, number)
    for label in image.objects:
        if label.box is None:
            continue
        node = SubElement(root, "object")
        for name, text in (("name", label.label), ("pose", "Unspecified"), ("truncated", "0"), ("difficult", "0")):
            _text(node, name, text)
        box = SubElement(node, "bndbox")
        for name, value in zip(_EDGES, rounded(label.box, image.width_px, image.height_px), strict=True):
            _text(box, name, value)
    return root


def _text(parent: Element, name: str, value: str | int) -> None:
    SubElement(parent, name).text = str(value)


def _read_document(gathering: Gathering, by_stem: Mapping[str, list[str]], data: bytes, notes: FaultList) -> None:
    root = read_xml(data, "annotation")
    path = _image_of(notes.path, root, by_stem)
    if path is None:
        said = f"Not one image is called {PurePosixPath(notes.path).stem} and is the file's <filename>, if it has one."
        notes.add("#", "MISSING_IMAGE", said)
        return
    declared = (number_of(root.findtext("size/width")), number_of(root.findtext("size/height")))
    image = gathering.claim(notes, "#", path, declared, "/annotation/size")
    if image is None:
        return
    counts = Counter[str]()
    labels = []
    for node in root:
        counts[node.tag] += 1
        if node.tag == "object" or _holds_object(node):
            at = f"/annotation/{node.tag:.40}[{counts[node.tag]}]"
            labels.append(notes.attempt(at, partial(_label, node, image), image.image_id))
    gathering.settle(notes, "#", path, labels, sha256_hex(data))


def _holds_object(node: Element) -> bool:
    """Say whether something that is no `object` looks like one, or holds one, in whatever spelling."""
    return any(str(inner.tag).rpartition("}")[2].lower() in ("object", "bndbox") for inner in node.iter())


def _image_of(path: str, root: Element, by_stem: Mapping[str, list[str]]) -> str | None:
    """Pair by the file's own name; its `filename` chooses where several images share that name, and denies no other."""
    candidates = by_stem.get(PurePosixPath(path).stem, [])
    text = root.findtext("filename") or ""
    if text.strip():
        # names may begin and end with blanks; one that text cannot hold is written encoded
        texts = {text, text.strip()}
        wanted = (*(f"/{names.encode(name.encode('utf-8', 'surrogateescape'))}" for name in texts), f"/{text}")
        # tools write it with and without the ending, or with that of before a conversion
        named = [candidate for candidate in candidates if f"/{candidate}".endswith(wanted)]
        candidates = named or [c for c in candidates if _bare(f"/{c}").endswith((*wanted, *map(_bare, wanted)))]
    return candidates[0] if len(candidates) == 1 else None


def _bare(path: str) -> str:
    return path.removesuffix(PurePosixPath(path).suffix)


def _label(node: Element, image: KnownImage) -> AcceptedLabel:
    if node.tag != "object":
        raise bad_record("BAD_RECORD", f"An object must be an <object> under the root, not in <{node.tag:.40}>.")
    name = class_name(_only(node, "name"))
    if name is None:
        raise bad_record("BAD_RECORD", "The object has not one name.")
    box = checked_box([number_of(_only(node, f"bndbox/{edge}")) for edge in _EDGES], image)
    return AcceptedLabel("", name, box)


def _only(node: Element, path: str) -> str | None:
    """Give the text of the one element there; None where there is none or more than one."""
    found = node.findall(path)
    return found[0].text if len(found) == 1 else None


def _read_list(
    gathering: Gathering, by_stem: Mapping[str, list[str]], split: str, data: bytes, notes: FaultList
) -> None:
    for number, line in enumerate(data.splitlines(), start=1):
        if not line.strip():
            continue
        # a class may stand behind the name; a name may also hold blanks
        stem = names.encode(line.strip())
        images = by_stem.get(stem) or by_stem.get(names.encode(line.split()[0]), [])
        if not images:
            notes.add(f"line {number}", "MISSING_IMAGE", f"No image of the source is called {stem:.200}.")
        for image in images:
            gathering.put_split(notes, f"line {number}", image, split)
