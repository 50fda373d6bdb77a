"""Makes tiny Hugging Face folders with their cards, by the library that public checkpoints come from.

Weights are seeded noise, which is enough to tell right handling from wrong; nothing here is shipped.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

from labelop.catalog.cards import ModelCard, load_card
from labelop.catalog.files import sha256_of_file
from tests.unit.engines.models import CLASSES, QUERIES, write_card

FOLDER_TASKS = {
    "detr": "detection",
    "rt_detr": "detection",
    "rt_detr_v2": "detection",
    "d_fine": "detection",
    "resnet": "classification",
    "sam2": "segmentation",
}
SIDE_PX = 64

_STAGES = {"depths": [1, 1, 1, 1], "layer_type": "basic", "embedding_size": 8}
_LABELS = {"id2label": dict(enumerate(CLASSES)), "label2id": {name: i for i, name in enumerate(CLASSES)}}
_LEVELS = {"out_features": ["stage2", "stage3", "stage4"]}
_TRANSFORMER: dict[str, Any] = {
    "d_model": 16,
    "encoder_hidden_dim": 16,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "decoder_n_points": 2,
    "hidden_expansion": 0.5,
    "num_queries": QUERIES,
    "num_denoising": 0,
    "encoder_in_channels": [8, 16, 16],
    "decoder_in_channels": [16, 16, 16],
    "feat_strides": [8, 16, 32],
    **_LABELS,
}


def checkpoint(folder: Path, family: str, *, faulty: bool = False) -> ModelCard:
    """Make a Hugging Face folder of a family, with its card beside it; a faulty one has roots of negative numbers."""
    library, torch = _library("transformers"), _library("torch")
    library.utils.logging.disable_progress_bar()
    torch.manual_seed(7)
    name = f"tiny-{family.replace('_', '-')}"
    target = folder / name
    model = _model(library, family).eval()
    if faulty:
        for name_of, values in model.named_buffers():
            if name_of.endswith("running_var"):
                values.fill_(-1.0)
    model.save_pretrained(target)
    scaling = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4], "rescale_factor": 1 / 255}
    (target / "preprocessor_config.json").write_text(json.dumps({**scaling, "do_rescale": True, "do_normalize": True}))
    task = FOLDER_TASKS[family]
    changes: dict[str, Any] = {
        "task": task,
        "family": family,
        "format": "huggingface",
        "files": None,
        "folder": name,
        "input": {"width_px": SIDE_PX, "height_px": SIDE_PX},
        "digests": {path.name: sha256_of_file(path) for path in sorted(target.iterdir())},
    }
    if task != "detection":
        changes["postprocess"] = None
    if task == "segmentation":
        changes["classes"] = None
    return load_card(write_card(folder, name, **changes))


def _library(name: str) -> Any:
    # loaded when a test needs a folder: these take seconds
    return importlib.import_module(name)


def _model(library: Any, family: str) -> Any:
    if family == "sam2":
        return _segmenter(library)
    if family == "resnet":
        return library.ResNetForImageClassification(_residual(library, **_LABELS))
    if family == "detr":
        small = {
            key: value for key, value in _TRANSFORMER.items() if not key.startswith(("encoder_hidden", "hidden_exp"))
        }
        # no timm: the backbone is the library's own
        own = {"use_timm_backbone": False, "use_pretrained_backbone": False, "backbone": None}
        backbone = _residual(library, out_features=["stage4"])
        return library.DetrForObjectDetection(library.DetrConfig(backbone_config=backbone, **own, **small))
    if family == "d_fine":
        more = _TRANSFORMER | {"decoder_n_points": [2, 2, 2], "encoder_in_channels": [16, 16, 16]}
        return library.DFineForObjectDetection(library.DFineConfig(backbone_config=_graded(library), **more))
    backbone = library.RTDetrResNetConfig(hidden_sizes=[8, 8, 16, 16], **_STAGES, **_LEVELS)
    name = {"rt_detr": "RTDetr", "rt_detr_v2": "RTDetrV2"}[family]
    config = getattr(library, f"{name}Config")(backbone_config=backbone, **_TRANSFORMER)
    return getattr(library, f"{name}ForObjectDetection")(config)


def _residual(library: Any, **more: Any) -> Any:
    return library.ResNetConfig(hidden_sizes=[8, 8, 8, 8], **_STAGES, **more)


def _graded(library: Any) -> Any:
    return library.HGNetV2Config(
        stem_channels=[3, 8, 8],
        stage_in_channels=[8, 8, 16, 16],
        stage_mid_channels=[8, 8, 8, 8],
        stage_out_channels=[8, 16, 16, 16],
        stage_num_blocks=[1, 1, 1, 1],
        stage_numb_of_layers=[1, 1, 1, 1],
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 16, 16, 16],
        embedding_size=8,
        **_LEVELS,
    )


def _segmenter(library: Any) -> Any:
    hiera = library.Sam2HieraDetConfig(
        hidden_size=8,
        num_attention_heads=1,
        image_size=[SIDE_PX, SIDE_PX],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 1, 2, 2],
        window_size_per_stage=[4, 4, 2, 2],
        global_attention_blocks=[3],
        window_positional_embedding_background_size=[2, 2],
    )
    vision = library.Sam2VisionConfig(
        backbone_config=hiera,
        backbone_channel_list=[64, 32, 16, 8],
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
        fpn_hidden_size=16,
    )
    prompt = {"hidden_size": 16, "image_size": SIDE_PX, "patch_size": 16, "mask_input_channels": 4}
    decoder = {"hidden_size": 16, "mlp_dim": 16, "num_attention_heads": 2, "iou_head_hidden_dim": 16}
    config = library.Sam2Config(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder)
    return library.Sam2Model(config)
