"""The model files as they ship: where they lie, their digests, and a session to run one.

Exists so that measuring needs neither torch nor the exporter.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnxruntime as ort

MODELS = Path(__file__).resolve().parents[1] / "models"


def session(path: Path) -> ort.InferenceSession:
    """An onnxruntime session on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def digest(path: Path) -> str:
    """Lowercase hex SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
