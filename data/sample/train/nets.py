"""The networks, built from `transformers` configurations with random weights; nothing is downloaded.

Knows sizes only: no data, no training, no files.
"""

from __future__ import annotations

import torch
from transformers import (
    ResNetConfig,
    ResNetForImageClassification,
    RTDetrResNetConfig,
    RTDetrV2Config,
    RTDetrV2ForObjectDetection,
)

LIGHT = {"cells": (176.0, 48.0), "parcels": (110.0, 50.0)}  # mean and spread that inputs are brought to zero and one by


def detector(classes: tuple[str, ...]) -> RTDetrV2ForObjectDetection:
    """A small RT-DETRv2: three levels (strides 8, 16, 32), 80 queries, two decoder layers."""
    backbone = RTDetrResNetConfig(
        embedding_size=16,
        hidden_sizes=[16, 32, 64, 96],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    config = RTDetrV2Config(
        backbone_config=backbone,
        freeze_backbone_batch_norms=False,  # the library's default freezes them, which random weights do not survive
        d_model=64,
        encoder_hidden_dim=64,
        encoder_in_channels=[32, 64, 96],
        feat_strides=[8, 16, 32],
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        decoder_n_points=2,
        decoder_in_channels=[64, 64, 64],
        num_feature_levels=3,
        decoder_n_levels=3,
        hidden_expansion=0.5,
        num_queries=80,
        num_denoising=40,
        initializer_bias_prior_prob=0.01,
        id2label=dict(enumerate(classes)),
        label2id={name: index for index, name in enumerate(classes)},
    )
    return RTDetrV2ForObjectDetection(config)


def classifier(classes: tuple[str, ...]) -> ResNetForImageClassification:
    """A small ResNet for whole pictures."""
    config = ResNetConfig(
        embedding_size=16,
        hidden_sizes=[16, 32, 64, 96],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        id2label=dict(enumerate(classes)),
        label2id={name: index for index, name in enumerate(classes)},
    )
    return ResNetForImageClassification(config)


def inputs(pixels: torch.Tensor, light: tuple[float, float]) -> torch.Tensor:
    """Bring uint8 [n, h, w, 3] to normalised float32 [n, 3, h, w]."""
    return ((pixels.to(torch.float32) - light[0]) / light[1]).permute(0, 3, 1, 2)


class DetectorFile(torch.nn.Module):
    """What a detector's ONNX file computes: uint8 pictures to class logits and normalised cxcywh boxes."""

    def __init__(self, net: torch.nn.Module, light: tuple[float, float]) -> None:
        super().__init__()
        self.net, self.light = net, light

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[n, h, w, 3] to [n, queries, classes] and [n, queries, 4]."""
        out = self.net(pixel_values=inputs(images, self.light))
        return out.logits, out.pred_boxes


class ClassifierFile(torch.nn.Module):
    """What the classifier's ONNX file computes: uint8 pictures to class logits."""

    def __init__(self, net: torch.nn.Module, light: tuple[float, float]) -> None:
        super().__init__()
        self.net, self.light = net, light

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """[n, h, w, 3] to [n, classes]."""
        logits: torch.Tensor = self.net(pixel_values=inputs(images, self.light)).logits
        return logits
