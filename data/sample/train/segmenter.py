"""Trains the promptable segmenter: a box in, the mask of the thing in the box out.

A small `Sam2Model`. With box tokens alone it learnt nothing in minutes: attention must first learn to find
corners. So the box is also given as Sam2's own dense mask prompt, computed inside the decoder's graph.
"""

from __future__ import annotations

from functools import cache, partial

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional
from transformers import (
    Sam2Config,
    Sam2HieraDetConfig,
    Sam2MaskDecoderConfig,
    Sam2Model,
    Sam2PromptEncoderConfig,
    Sam2VisionConfig,
)

from data.sample.draw import parcels, smears
from data.sample.draw.scene import TRAINING_SEEDS, Scene

from . import nets, steps

SIDE = 224  # px, width and height of the input
GRID = SIDE // 4  # width and height of the low-resolution mask
TARGET = SIDE // 2  # width and height at which the loss is taken
LIGHT = (150.0, 55.0)
FEATURES = ["fine", "middle", "coarse"]  # names of the tensors between encoder and decoder
IMAGES, BOXES = 4, 8  # in one batch
# name of the checkpoint, number of the first step, steps, peak learning rate
STAGES = (("boxes-to-masks", 0, 2000, 1e-3), ("boxes-to-masks-again", 2000, 2000, 6e-4))
SCENES = 500  # of each dataset


class Segmenter(torch.nn.Module):
    """Sam2 with the box as sparse and as dense prompt."""

    def __init__(self) -> None:
        super().__init__()
        sides = [[SIDE // 4] * 2, [SIDE // 8] * 2, [SIDE // 16] * 2]
        hiera = Sam2HieraDetConfig(
            hidden_size=24,
            image_size=[SIDE, SIDE],
            blocks_per_stage=[1, 2, 3, 1],
            embed_dim_per_stage=[24, 48, 96, 192],
            num_attention_heads_per_stage=[1, 2, 4, 8],
            window_size_per_stage=[8, 4, 14, 7],  # a stage's window must halve evenly at the pooling after it
            global_attention_blocks=[5],
        )
        vision = Sam2VisionConfig(
            backbone_config=hiera,
            backbone_channel_list=[192, 96, 48, 24],
            backbone_feature_sizes=sides,
            fpn_hidden_size=64,
        )
        prompt = Sam2PromptEncoderConfig(hidden_size=64, image_size=SIDE, patch_size=16)
        decoder = Sam2MaskDecoderConfig(
            hidden_size=64,
            mlp_dim=256,
            num_attention_heads=4,
            iou_head_hidden_dim=64,
            dynamic_multimask_via_stability=False,
        )
        self.net = Sam2Model(
            Sam2Config(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder)
        )
        self._draw_again()
        centres = (torch.arange(GRID, dtype=torch.float32) + 0.5) * 4
        self.register_buffer("centres", centres, persistent=False)

    def _draw_again(self) -> None:
        """The library draws all weights with spread 0.02, which starves nets this narrow."""
        for module in self.net.modules():
            if isinstance(module, torch.nn.Linear):
                torch.nn.init.xavier_uniform_(module.weight)
            elif isinstance(module, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
                torch.nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
            elif isinstance(module, torch.nn.Embedding):
                torch.nn.init.normal_(module.weight)

    def encode(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Uint8 [n, side, side, 3] to three feature maps."""
        maps = self.net.vision_encoder(nets.inputs(images, LIGHT), return_dict=True).fpn_hidden_states
        decoder = self.net.mask_decoder
        return decoder.conv_s0(maps[0]), decoder.conv_s1(maps[1]), maps[2]

    def _filled(self, boxes: torch.Tensor) -> torch.Tensor:
        """The box as a mask prompt [n, 1, grid, grid]: 4 inside, -4 outside, in between on its rim."""
        near, far = boxes[:, None, :2], boxes[:, None, 2:]
        at = self.centres[None, :, None]
        share = (torch.minimum(far, at + 2) - torch.maximum(near, at - 2)).clamp(0, 4) / 4  # [n, grid, (x, y)]
        return (8 * share[:, :, 1, None] * share[:, None, :, 0] - 4)[:, None]

    def decode(
        self, fine: torch.Tensor, middle: torch.Tensor, coarse: torch.Tensor, boxes: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One feature set and one xyxy box [n, 4] per mask; gives logits [n, grid, grid] and expected IoU [n]."""
        sparse, dense = self.net.prompt_encoder(None, None, boxes[:, None], self._filled(boxes))
        places = self.net.get_image_wide_positional_embeddings().expand(boxes.shape[0], -1, -1, -1)
        masks, quality, _, _ = self.net.mask_decoder(
            image_embeddings=coarse,
            image_positional_embeddings=places,
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
            high_resolution_features=[fine, middle],
        )
        return masks[:, 0, 0], quality[:, 0, 0]


class EncoderFile(torch.nn.Module):
    """What the encoder's ONNX file computes."""

    def __init__(self, whole: Segmenter) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Pictures to the three feature maps."""
        return self.whole.encode(images)


class DecoderFile(torch.nn.Module):
    """What the decoder's ONNX file computes: one picture's features and its boxes [1, n, 4] to masks."""

    def __init__(self, whole: Segmenter) -> None:
        super().__init__()
        self.whole = whole

    def forward(
        self, fine: torch.Tensor, middle: torch.Tensor, coarse: torch.Tensor, boxes: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Features of one picture and boxes in input pixels to logits [1, n, grid, grid] and scores [1, n]."""
        count = boxes.shape[1]
        spread = [part.expand(count, -1, -1, -1) for part in (fine, middle, coarse)]
        masks, quality = self.whole.decode(*spread, boxes[0])
        return masks[None], quality[None]


@cache
def _scenes() -> tuple[Scene, ...]:
    seeds = range(TRAINING_SEEDS, TRAINING_SEEDS + SCENES)
    return tuple(painter.draw(seed) for seed in seeds for painter in (smears, parcels))


def _example(
    scene: Scene, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """One picture, `BOXES` jittered boxes in input pixels and their masks as coverage at `TARGET` pixels."""
    height, width, _ = scene.pixels.shape
    # every class alike, as red cells would crowd out all else
    kinds = [one.label for one in scene.objects]
    weights = np.array([1.0 / kinds.count(kind) for kind in kinds])
    chosen = rng.choice(len(kinds), size=BOXES, p=weights / weights.sum())
    boxes, masks = [], []
    for one in (scene.objects[k] for k in chosen):
        x1, y1, x2, y2 = one.box
        off = rng.normal(0, 0.05, 4) * np.array([x2 - x1, y2 - y1] * 2)
        boxes.append((np.array(one.box) + off) * SIDE / np.array([width, height] * 2))
        full = Image.fromarray(one.full_mask(height, width).astype(np.uint8) * 255)
        masks.append(np.asarray(full.resize((TARGET, TARGET), Image.Resampling.BOX), dtype=np.float32) / 255)
    small = Image.fromarray(scene.pixels).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    light = (np.asarray(small, dtype=np.float32) - 150) * np.exp(rng.normal(0, 0.1, 3)) + 150 + rng.normal(0, 8)
    pixels, places, covers = np.clip(light, 0, 255).astype(np.uint8), np.array(boxes, dtype=np.float32), np.stack(masks)
    if rng.random() < 0.5:
        pixels, covers = pixels[:, ::-1], covers[:, :, ::-1]
        places = np.stack([SIDE - places[:, 2], places[:, 1], SIDE - places[:, 0], places[:, 3]], 1)
    if rng.random() < 0.5:
        pixels, covers = pixels[::-1], covers[:, ::-1]
        places = np.stack([places[:, 0], SIDE - places[:, 3], places[:, 2], SIDE - places[:, 1]], 1)
    return pixels.copy(), places, covers.copy()


def _loss(whole: Segmenter, first: int, step: int) -> torch.Tensor:
    rng = np.random.default_rng([29, first + step])
    scenes = _scenes()
    batch = [_example(scenes[k], rng) for k in rng.integers(len(scenes), size=IMAGES)]
    features = whole.encode(torch.from_numpy(np.stack([one[0] for one in batch])))
    spread = [part.repeat_interleave(BOXES, dim=0) for part in features]
    logits, quality = whole.decode(*spread, torch.from_numpy(np.concatenate([one[1] for one in batch])))
    wanted = torch.from_numpy(np.concatenate([one[2] for one in batch]))
    logits = functional.interpolate(logits[:, None], size=(TARGET, TARGET), mode="bilinear", align_corners=False)[:, 0]
    # a mask is a small part of the picture: balance both sides within three box areas of background
    area = wanted.sum((1, 2), keepdim=True).clamp(min=1)
    balance = wanted / area + (1 - wanted) / (TARGET * TARGET - area).clamp(min=1)
    cross = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    chance = logits.sigmoid()
    both = (chance * wanted).sum((1, 2))
    dice = 1 - (2 * both + 1) / (chance.sum((1, 2)) + wanted.sum((1, 2)) + 1)
    rim = (cross.sum((1, 2)) / area[:, 0, 0]).clamp(max=5)  # sharpens the outline once the place is found
    with torch.no_grad():
        got, true = logits > 0, wanted > 0.5
        met = (got & true).sum((1, 2)) / (got | true).sum((1, 2)).clamp(min=1)
    return (0.5 * (cross * balance).sum((1, 2)) + dice + 0.3 * rim + (quality - met) ** 2).mean()


def build() -> Segmenter:
    """The trained segmenter, from its checkpoint or trained now."""
    torch.manual_seed(7)
    whole = Segmenter()
    for name, first, count, rate in STAGES:
        loss_at = partial(_loss, whole, first)
        whole = steps.train(name, whole, loss_at, steps=count, rate=rate)
    return whole
