"""The form of a model card's YAML: the only place where foreign card text becomes typed values.

Knows no file but the text of one card; whether weights exist and match is decided in `files.py`.
"""

from __future__ import annotations

from operator import not_
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from labelop.errors import CatalogError
from labelop.forms import FirstSchema, StrictForm, read_form

MAX_CARD_BYTES = 256 * 1024
"""A card is a page of text; more is not a card."""

CATALOG_HINT = "LABELOP_CATALOG names the folder of the cards; data/sample/models holds examples."
"""What to do about a faulty card."""

FAMILIES: dict[str, tuple[str, ...]] = {
    "detection": ("rtdetr_v2", "rt_detr_v2", "rt_detr", "d_fine", "detr"),
    "classification": ("resnet",),
    "segmentation": ("sam2",),
}
"""Model families each task may have."""

FOLDER_FILES = ("config.json", "model.safetensors", "preprocessor_config.json")
"""Files of a Hugging Face folder that a card pins, all of them."""

_GRAPHS = {"detection": {"model"}, "classification": {"model"}, "segmentation": {"encoder", "decoder"}}

_Text = Annotated[str, Field(min_length=1, max_length=2000)]
_Share = Annotated[float, Field(ge=0, le=1)]
MODEL_ID = r"^[a-z0-9][a-z0-9._-]{0,99}$"
"""Form of a model's id: it also names files, so it can name no other folder."""

_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class InputForm(StrictForm):
    """Size the model sees; images are stretched to it."""

    width_px: int = Field(ge=1, le=8192)
    height_px: int = Field(ge=1, le=8192)
    # left out of the content when false, so that cards written before it keep their digest
    scaled_decode: bool = Field(default=False, exclude_if=not_)


class PostprocessForm(StrictForm):
    """How a detector's raw output becomes predictions."""

    min_score: _Share
    nms_iou: Annotated[float, Field(gt=0, le=1)]
    max_detections: int = Field(ge=1, le=1000)
    draft_score: dict[str, _Share]


class SourceForm(StrictForm):
    """One dataset the weights have seen."""

    name: _Text
    licence: _Text
    split: _Text | None = None


class QualityForm(StrictForm):
    """One measured figure."""

    dataset: _Text
    split: _Text
    metric: _Text
    value: float
    image_count: int = Field(ge=0)


class DerivationForm(StrictForm):
    """What a model was made from, where it was not trained."""

    model_digest: _Digest
    how: _Text
    tool: _Text
    tool_version: _Text
    images_count: int = Field(ge=1)
    images_digest: _Digest


class CardForm(StrictForm):
    """A whole card, schema 1."""

    version_of_schema: FirstSchema = Field(alias="schema")
    id: str = Field(pattern=MODEL_ID)
    version: _Text
    task: Literal["detection", "classification", "segmentation"]
    family: Literal["rtdetr_v2", "rt_detr_v2", "rt_detr", "d_fine", "detr", "resnet", "sam2"]
    format: Literal["onnx", "huggingface"]
    files: dict[str, _Text] = Field(default_factory=dict)
    folder: _Text | None = None
    digests: dict[str, _Digest]
    encoder_outputs: tuple[_Text, ...] = ()
    ontology: _Text
    classes: tuple[_Text, ...] = ()
    input: InputForm
    postprocess: PostprocessForm | None = None
    licence: _Text
    training_data: tuple[SourceForm, ...] = ()
    quality: tuple[QualityForm, ...] = ()
    reproduce: str = ""
    parameters_count: int | None = Field(default=None, ge=0)
    size_bytes: int | None = Field(default=None, ge=0)
    # excluded where it is not said: digests of older cards stay what they were
    derived_from: DerivationForm | None = Field(default=None, exclude_if=lambda value: value is None)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.family not in FAMILIES[self.task]:
            allowed = ", ".join(FAMILIES[self.task])
            raise ValueError(f"key family has the value {self.family!r}; a {self.task} model allows {allowed}")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"key classes has the value {list(self.classes)}; allowed are distinct names")
        if not self.classes and self.task != "segmentation":
            raise ValueError(f"key classes is empty; a {self.task} model needs one name per output index")
        self._check_files()
        if self.task == "detection":
            if self.postprocess is None:
                raise ValueError("key postprocess is missing; a detection model needs it")
            if set(self.postprocess.draft_score) != set(self.classes):
                raise ValueError(
                    f"key postprocess.draft_score has the classes {sorted(self.postprocess.draft_score)}; "
                    f"allowed are exactly {sorted(self.classes)}"
                )
        return self

    def _check_files(self) -> None:
        if self.format == "huggingface":
            if self.files or self.folder is None:
                raise ValueError("format huggingface needs the key folder and allows no key files")
            wanted = set(FOLDER_FILES)
        else:
            if self.folder is not None:
                raise ValueError("format onnx needs the key files and allows no key folder")
            missing = _GRAPHS[self.task] - set(self.files)
            if missing:
                raise ValueError(f"key files has {sorted(self.files)}; a {self.task} model needs {sorted(missing)} too")
            if self.task == "segmentation" and not self.encoder_outputs:
                raise ValueError("key encoder_outputs is missing; a segmentation model names its feature tensors")
            wanted = set(self.files)
        if set(self.digests) != wanted:
            raise ValueError(
                f"key digests has the entries {sorted(self.digests)}; allowed are exactly {sorted(wanted)}"
            )


def parse_card(path: Path) -> tuple[CardForm, dict[str, Any]]:
    """Read and check one card.

    Returns:
        The typed form, and the plain content whose canonical form names the card's version.

    Raises:
        CatalogError: The file is missing, is not YAML, or breaks the form; names file, key, value and what is allowed.
    """
    form = read_form(path, CardForm, error=CatalogError, hint=CATALOG_HINT, max_bytes=MAX_CARD_BYTES)
    return form, form.model_dump(mode="json", by_alias=True)
