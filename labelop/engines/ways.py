"""Which ways an engine has to compute, at all and on this machine: devices, each with its precisions.

Loads the library of the engine that is asked about, and no other.
"""

from __future__ import annotations

from collections.abc import Mapping

from labelop.catalog.cards import ModelCard

WAYS: dict[str, dict[str, tuple[str, ...]]] = {
    "onnxruntime": {"cpu": ("f32",), "cuda": ("f32",), "tensorrt": ("f32",)},
    "openvino": {"cpu": ("f32", "bf16")},
    "torch": {"cpu": ("f32", "bf16"), "cuda": ("f32", "bf16")},
}
"""What our engines can do anywhere: precisions by device, by engine."""


def ways_here(engine: str, card: ModelCard | None = None) -> Mapping[str, tuple[str, ...]]:
    """Tell what the installed library can do on this machine: precisions by device.

    Args:
        engine: A key of `WAYS`.
        card: The model it is asked for, for the message.

    Raises:
        MissingExtraError: The engine is not installed.
    """
    # imported here: each of these pulls in a heavy library
    if engine == "openvino":
        from labelop.engines.vino import precisions  # noqa: PLC0415

        return {"cpu": tuple(precisions(card))}
    if engine == "torch":
        from labelop.engines.folder import devices as torch_devices  # noqa: PLC0415

        return {device: WAYS[engine][device] for device in torch_devices(card)}
    from labelop.engines.graph import devices  # noqa: PLC0415

    return {device: WAYS[engine][device] for device in devices()}
