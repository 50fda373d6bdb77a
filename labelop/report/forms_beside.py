"""Tables of the page that are no result: warnings, and what its numbers rest on.

Data only, as in `forms`; none of them becomes an artifact.
"""

from __future__ import annotations

from labelop.report.form import Column, Form

WARNINGS = Form(
    "",
    "Warnings",
    "Checks of sql/checks that found rows, and what must hold. Checks that passed are left out.",
    (
        Column("name", "Check", "code"),
        Column("purpose", "What must hold"),
        Column("rows_count", "Rows that break it", "count"),
        Column("use", "What it means for these numbers"),
    ),
)
"""What the checks found; its rows come from no query."""

PROVENANCE = Form(
    "report_provenance",
    "What the numbers rest on",
    "The same rows give the same page.",
    (
        Column("dataset", "Dataset"),
        Column("subject", "Subject"),
        Column("name", "Name"),
        Column("identity", "Digest or version", "code"),
        Column("detail", "Detail"),
    ),
)
"""Versions and digests behind the page."""

TABLES = Form(
    "report_tables",
    "Tables it was read from",
    "Rows of the newest version of each dataset.",
    (
        Column("table_name", "Table", "code"),
        Column("rows_count", "Rows", "count"),
        Column("last_landed_at", "Last row landed (UTC)"),
    ),
)
"""Tables behind the page."""
