"""The loop that pairs the boxes of many images at once; compiled where Numba is installed, plain Python elsewhere.

Knows arrays only, and must stay within what Numba compiles. It does for boxes what `script.py` does for any object,
and a test holds the two together. Loaded when a batch is asked for, since Numba takes a second to import.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from labelop.effort.ties import OVERLAP_SECONDS, tie_seconds

_numba: Any = None
try:
    import numba

    _numba = numba
except ImportError:
    pass  # an extra: the same loop runs uncompiled

ACCEPT: Final = 0
RELABEL: Final = 1
ADJUST: Final = 2
ADJUST_RELABEL: Final = 3
DELETE: Final = 4
ADD: Final = 5

_NOWHERE: Final = -1
_ALONE: Final = -2


def _compiled(function: Any) -> Any:
    if _numba is None:
        return function
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return _numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder to keep the compiled code in
        return _numba.njit(**options)(function)


_tie_seconds = _compiled(tie_seconds)


@_compiled
def drags_between(before: Any, i: int, after: Any, j: int, tolerance_px: float) -> int:
    """Count the mouse drags between box i of `before` and box j of `after`, see `script.drags`."""
    dx0 = after[j, 0] - before[i, 0]
    dy0 = after[j, 1] - before[i, 1]
    dx1 = after[j, 2] - before[i, 2]
    dy1 = after[j, 3] - before[i, 3]
    if abs(dx0 - dx1) <= tolerance_px and abs(dy0 - dy1) <= tolerance_px:
        return 1
    if min(abs(dx0), abs(dx1)) > tolerance_px or min(abs(dy0), abs(dy1)) > tolerance_px:
        return 2
    return 1


@_compiled
def box_iou(before: Any, i: int, after: Any, j: int) -> float:
    """Compute the intersection over union of box i of `before` and box j of `after`, xyxy."""
    wide = min(before[i, 2], after[j, 2]) - max(before[i, 0], after[j, 0])
    high = min(before[i, 3], after[j, 3]) - max(before[i, 1], after[j, 1])
    if wide <= 0 or high <= 0:
        return 0.0
    inner = wide * high
    own = (before[i, 2] - before[i, 0]) * (before[i, 3] - before[i, 1])
    return float(inner / (own + (after[j, 2] - after[j, 0]) * (after[j, 3] - after[j, 1]) - inner))


@_compiled
def _cheapest(gain: Any, column_of: Any, work: Any, marks: Any, seen: Any) -> None:
    """Choose the pairs whose gains add up to the least; a row or column may stay alone at no gain.

    Shortest augmenting paths (Jonker and Volgenant, Computing 38:325, 1987), with one column for each row that only
    this row may take. Only pairs of negative gain are looked at.

    Args:
        gain: float64 (n, m).
        column_of: int64 (n,), written: the chosen column of each row, -1 for none.
        work: float64 (3, at least max(n, m)), scratch.
        marks: int64 (2, at least m), scratch.
        seen: bool (2, at least max(n, m)), scratch.
    """
    n, m = gain.shape
    u, v, far = work[0], work[1], work[2]
    path, row_of = marks[0], marks[1]
    for j in range(m):
        row_of[j] = -1
        v[j] = 0.0
    for i in range(n):
        column_of[i] = -1
        u[i] = 0.0
    for current in range(n):
        for j in range(m):
            far[j] = np.inf
            seen[1, j] = False
        for i in range(n):
            seen[0, i] = False
        least, i, end, alone, alone_row = 0.0, current, _NOWHERE, np.inf, current
        while end == _NOWHERE:
            seen[0, i] = True
            if least - u[i] < alone:  # what it costs to end here and leave row i without a column
                alone, alone_row = least - u[i], i
            low, nearest = np.inf, -1
            for j in range(m):
                if seen[1, j]:
                    continue
                if gain[i, j] < 0.0:
                    reach = least + gain[i, j] - u[i] - v[j]
                    if reach < far[j]:
                        far[j] = reach
                        path[j] = i
                if far[j] < low:
                    low, nearest = far[j], j
            if alone <= low:
                least, end = alone, _ALONE
                break
            least = low
            seen[1, nearest] = True
            if row_of[nearest] == -1:
                end = nearest
            else:
                i = row_of[nearest]
        u[current] += least
        for i in range(n):
            if seen[0, i] and i != current:
                u[i] += least - far[column_of[i]]
        for j in range(m):
            if seen[1, j]:
                v[j] -= least - far[j]
        if end == _ALONE:
            end = column_of[alone_row]
            column_of[alone_row] = -1
            if alone_row == current:
                continue
        while True:
            i = path[end]
            row_of[end] = i
            end, column_of[i] = column_of[i], end
            if i == current:
                break


@_compiled
def _candidates(before: Any, after: Any, limits: Any, seconds: Any, gain: Any, chosen: Any, work: Any) -> bool:
    """Find the pairs of one image that cost less than deleting the draft and adding the label.

    Args:
        before: Boxes (n, 4) and classes (n,) of drafts.
        after: Boxes (m, 4) and classes (m,) of labels.
        limits: See `pair_boxes`.
        seconds: See `pair_boxes`.
        gain: float64 (n, m), written: what a pair costs more than that, 0 where there is none.
        chosen: int64 (n,), written: the last candidate of each draft, -1 for none.
        work: float64 (7, at least m), scratch.

    Returns:
        Whether two candidates want the same draft or label, so that `chosen` decides nothing.
    """
    drafts, draft_classes = before
    labels, label_classes = after
    x0, y0, x1, y1, area, overlap, wanted = work[0], work[1], work[2], work[3], work[4], work[5], work[6]
    n, m = gain.shape
    contested = False
    for j in range(m):
        x0[j], y0[j], x1[j], y1[j], wanted[j] = labels[j, 0], labels[j, 1], labels[j, 2], labels[j, 3], 0.0
        area[j] = (x1[j] - x0[j]) * (y1[j] - y0[j])
    for i in range(n):
        chosen[i] = -1
        left, top, right, bottom = drafts[i, 0], drafts[i, 1], drafts[i, 2], drafts[i, 3]
        own = (right - left) * (bottom - top)
        for j in range(m):  # without a branch, so that it runs on whole vectors
            wide = (x1[j] if x1[j] < right else right) - (x0[j] if x0[j] > left else left)
            high = (y1[j] if y1[j] < bottom else bottom) - (y0[j] if y0[j] > top else top)
            inner = (wide if wide > 0.0 else 0.0) * (high if high > 0.0 else 0.0)
            overlap[j] = inner / (own + area[j] - inner)
            gain[i, j] = 0.0
        for j in range(m):
            if overlap[j] < limits[0]:
                continue
            drags = drags_between(drafts, i, labels, j, limits[2]) if overlap[j] < limits[1] else 0
            cost = _pair_seconds(drags, draft_classes[i] != label_classes[j], seconds)
            cost += _tie_seconds(i, j) - OVERLAP_SECONDS * overlap[j] - seconds[4] - seconds[5]
            if cost < 0.0:
                contested = contested or wanted[j] > 0.0 or chosen[i] != -1
                gain[i, j], wanted[j], chosen[i] = cost, 1.0, j
    return contested


@_compiled
def _pair_seconds(drags: int, renamed: bool, seconds: Any) -> float:
    """Cost of turning one draft into one label, seconds."""
    if renamed:
        return float(seconds[drags] + seconds[3] if drags else seconds[3])
    return float(seconds[drags])


@_compiled
def _write(k: int, ends: Any, sides: Any, limits: Any, seconds: Any, found: Any, count: int, out: Any) -> int:
    """Write the edits of image k from the pairs that were found; see `pair_boxes`."""
    a, b, c, d = ends
    (drafts, draft_classes), (labels, label_classes) = sides
    partner, taken, draft_again, label_again = found
    indices, reals, codes = out
    for i in range(a, b):
        indices[0, count], indices[1, count] = k, i
        if partner[i] == -1:
            indices[2, count], reals[0, count], reals[1, count] = -1, np.nan, seconds[4]
            codes[0, count], codes[1, count], codes[2, count] = DELETE, 0, draft_again[i]
        else:
            j = c + partner[i]
            iou, renamed = box_iou(drafts, i, labels, j), draft_classes[i] != label_classes[j]
            drags = drags_between(drafts, i, labels, j, limits[2]) if iou < limits[1] else 0
            indices[2, count], reals[0, count], reals[1, count] = j, iou, _pair_seconds(drags, renamed, seconds)
            codes[0, count] = (ADJUST if drags else ACCEPT) + (RELABEL if renamed else ACCEPT)
            codes[1, count], codes[2, count] = drags, 0
        count += 1
    for j in range(c, d):
        if not taken[j]:
            indices[0, count], indices[1, count], indices[2, count] = k, -1, j
            reals[0, count], reals[1, count] = np.nan, seconds[5]
            codes[0, count], codes[1, count], codes[2, count] = ADD, 0, label_again[j]
            count += 1
    return count


@_compiled
def _follow_lineage(origins: Any, first: int, partner: Any, taken: Any) -> None:
    """Pair each draft of an image, whose first is `first`, with the first label that names it."""
    for j in range(len(origins)):
        i = origins[j] - first
        if 0 <= i < len(partner) and partner[i] == -1:
            partner[i] = j
            taken[j] = True


@_compiled
def pair_boxes(before: Any, after: Any, origins: Any, known: Any, limits: Any, seconds: Any, out: Any) -> int:
    """Write the edits of many images, see `columns.edit_scripts` for what comes in.

    Args:
        before: Of the drafts: boxes float64 (p, 4), classes int64 (p,), starts int64 (images + 1,).
        after: Of the labels: boxes float64 (q, 4), classes int64 (q,), starts int64 (images + 1,).
        origins: int64 (q,), the draft a label came from, -1 for none.
        known: bool (images,), whether the tool kept lineage.
        limits: float64 (3,): tau_match, tau_same, drag tolerance in pixels.
        seconds: float64 (6,): accept, one drag, two drags, relabel, delete, add.
        out: Written: int64 (3, p + q) image, draft or -1, label or -1; float64 (2, p + q) IoU or NaN, seconds; int8
            (3, p + q) operation, drags, whether deleted and drawn again.

    Returns:
        How many edits were written.
    """
    drafts, draft_classes, draft_starts = before
    labels, label_classes, label_starts = after
    sides = ((drafts, draft_classes), (labels, label_classes))
    partner, taken = np.full(len(drafts), -1), np.zeros(len(labels), np.bool_)
    draft_again, label_again = np.zeros(len(drafts), np.bool_), np.zeros(len(labels), np.bool_)
    found = (partner, taken, draft_again, label_again)
    every_draft, every_label = np.arange(len(drafts)), np.arange(len(labels))
    most = 1
    for k in range(len(known)):
        most = max(most, draft_starts[k + 1] - draft_starts[k], label_starts[k + 1] - label_starts[k])
    space, work, marks = np.empty(most * most), np.empty((7, most)), np.empty((2, most), np.int64)
    seen, chosen = np.empty((2, most), np.bool_), np.empty(most, np.int64)
    count = 0
    for k in range(len(known)):
        a, b, c, d = draft_starts[k], draft_starts[k + 1], label_starts[k], label_starts[k + 1]
        rows, columns = every_draft[a:b], every_label[c:d]
        one, other = (drafts[a:b], draft_classes[a:b]), (labels[c:d], label_classes[c:d])
        if known[k]:
            _follow_lineage(origins[c:d], a, partner[a:b], taken[c:d])
            rows, columns = a + np.flatnonzero(partner[a:b] == -1), c + np.flatnonzero(~taken[c:d])
            one, other = (drafts[rows], draft_classes[rows]), (labels[columns], label_classes[columns])
        n, m = len(rows), len(columns)
        gain = space[: n * m].reshape(n, m)
        if _candidates(one, other, limits, seconds, gain, chosen, work):
            _cheapest(gain, chosen[:n], work, marks, seen)
        for r in range(n):
            if chosen[r] == -1:
                continue
            i, j = rows[r], columns[chosen[r]]
            if known[k]:  # what was deleted and drawn again stays two operations
                draft_again[i] = label_again[j] = True
            else:
                partner[i], taken[j] = j - c, True
        count = _write(k, (a, b, c, d), sides, limits, seconds, found, count, out)
    return count
