"""Label Studio exchange under one name: drafts out as tasks, the JSON export back in as reviews.

Lossy on purpose: where drafts are shown as boxes, masks come back only with a box that was left as it was; a task does
not say which arm or model drafted it.
"""

from __future__ import annotations

from labelop.review.annotation_import import import_reviews
from labelop.review.intake import ImportResult
from labelop.review.task_export import ExportResult, export_review, export_tasks
from labelop.review.task_forms import labelling_config

__all__ = ["ExportResult", "ImportResult", "export_review", "export_tasks", "import_reviews", "labelling_config"]
