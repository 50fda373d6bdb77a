"""What people spend on correcting drafts, and how good the drafts were. Knows no review tool.

The public functions are found here and loaded when they are asked for: parameters alone are cheap to import.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labelop.effort.calibration import TimedReview as TimedReview
    from labelop.effort.calibration import calibrate as calibrate
    from labelop.effort.columns import edit_scripts as edit_scripts
    from labelop.effort.measures import active_seconds as active_seconds
    from labelop.effort.measures import effort_of as effort_of
    from labelop.effort.measures import human_edit_rate as human_edit_rate
    from labelop.effort.measures import saving as saving
    from labelop.effort.script import edit_script as edit_script

_HOME = {
    "TimedReview": "calibration",
    "active_seconds": "measures",
    "calibrate": "calibration",
    "edit_script": "script",
    "edit_scripts": "columns",
    "effort_of": "measures",
    "human_edit_rate": "measures",
    "saving": "measures",
}

__all__ = [
    "TimedReview",
    "active_seconds",
    "calibrate",
    "edit_script",
    "edit_scripts",
    "effort_of",
    "human_edit_rate",
    "saving",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
