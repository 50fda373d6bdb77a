-- Every first pass of a person over an image that a tool measured, with how often each operation happened in it.
-- What calibration learns from: of a review that was opened again every row holds all edits and only its own time, so the
-- first counts. Without a draft every label was added. Images that only got labels of the whole image are another task.
-- Params: dataset text; with_simulated boolean = false
-- Grain: review_id
-- Needs: compare reviewers
WITH first_pass AS (
    SELECT review_id, arm, reviewer, active_seconds, approved, simulated
    FROM v_review
    WHERE dataset = $dataset::VARCHAR AND reviewer IS NOT NULL
    QUALIFY row_number() OVER (
        PARTITION BY dataset_version, image_id, batch_id, reviewer ORDER BY submitted_at NULLS LAST, review_id
    ) = 1
),
measured AS (
    SELECT
        f.review_id, r.dataset, r.dataset_version, r.image_id, f.arm, f.reviewer, r.tool, r.tool_version,
        coalesce(r.position_in_batch, 0) AS position_in_batch, f.active_seconds, r.labels, r.clicks_counts, f.simulated
    FROM first_pass AS f
    JOIN reviews AS r USING (review_id)
    WHERE
        f.approved AND f.active_seconds > 0 AND f.arm IN ('local', 'cloud', 'blind')
        AND ($with_simulated::BOOLEAN OR NOT f.simulated)
        AND (len(r.labels) = 0 OR len(list_filter(r.labels, lambda x: x.x0_px IS NOT NULL)) > 0)
),
labels AS (
    SELECT review_id, arm, unnest(labels) AS label, unnest(clicks_counts) AS clicks_count
    FROM measured
),
operations AS (
    SELECT
        e.review_id, e.op, e.drags_count, e.clicks_count, e.vertices_count, e.oks,
        CASE
            WHEN l.label.x0_px IS NULL THEN 'image'
            WHEN CASE WHEN e.op = 'add' THEN l.label.mask_rle IS NOT NULL ELSE e.biou IS NOT NULL END THEN 'mask'
            ELSE 'box'
        END AS kind
    FROM edits AS e
    LEFT JOIN labels AS l ON l.review_id = e.review_id AND l.label.label_id = e.label_id
    UNION ALL
    SELECT
        review_id, 'add', 0, clicks_count, 0, NULL,
        CASE WHEN label.x0_px IS NULL THEN 'image' WHEN label.mask_rle IS NOT NULL THEN 'mask' ELSE 'box' END
    FROM labels
    WHERE arm = 'blind'
),
counted AS (
    SELECT
        review_id,
        bool_or(oks IS NOT NULL) AS has_keypoints,
        count(*) FILTER (op = 'accept' AND kind = 'box') AS accept_count,
        count(*) FILTER (op IN ('adjust', 'adjust_relabel') AND drags_count = 1) AS adjust_1_count,
        count(*) FILTER (op IN ('adjust', 'adjust_relabel') AND drags_count > 1) AS adjust_2_count,
        count(*) FILTER (op IN ('relabel', 'adjust_relabel')) AS relabel_count,
        count(*) FILTER (op = 'delete') AS delete_count,
        count(*) FILTER (op = 'add' AND kind = 'box') AS add_count,
        sum(clicks_count) FILTER (op IN ('adjust', 'adjust_relabel')) AS clicks_count,
        sum(vertices_count) FILTER (op IN ('adjust', 'adjust_relabel')) AS vertices_count,
        count(*) FILTER (op = 'accept' AND kind = 'image') AS accept_class_count,
        count(*) FILTER (op = 'add' AND kind = 'image') AS add_class_count,
        count(*) FILTER (op = 'accept' AND kind = 'mask') AS accept_mask_count,
        count(*) FILTER (op IN ('adjust', 'adjust_relabel') AND kind = 'mask') AS adjust_mask_count,
        count(*) FILTER (op = 'add' AND kind = 'mask' AND coalesce(clicks_count, 0) = 0) AS add_mask_count,
        count(*) FILTER (op = 'add' AND kind = 'mask' AND clicks_count > 0) AS add_assisted_mask_count
    FROM operations
    GROUP BY review_id
)
SELECT
    m.dataset, m.dataset_version, m.review_id, m.image_id, m.arm, m.reviewer, m.tool, m.tool_version, m.position_in_batch,
    m.active_seconds,
    coalesce(c.accept_count, 0) AS accept_count,
    coalesce(c.adjust_1_count, 0) AS adjust_1_count,
    coalesce(c.adjust_2_count, 0) AS adjust_2_count,
    coalesce(c.relabel_count, 0) AS relabel_count,
    coalesce(c.delete_count, 0) AS delete_count,
    coalesce(c.add_count, 0) AS add_count,
    coalesce(c.clicks_count, 0)::BIGINT AS clicks_count,
    coalesce(c.vertices_count, 0)::BIGINT AS vertices_count,
    coalesce(c.accept_class_count, 0) AS accept_class_count,
    coalesce(c.add_class_count, 0) AS add_class_count,
    coalesce(c.accept_mask_count, 0) AS accept_mask_count,
    coalesce(c.adjust_mask_count, 0) AS adjust_mask_count,
    coalesce(c.add_mask_count, 0) AS add_mask_count,
    coalesce(c.add_assisted_mask_count, 0) AS add_assisted_mask_count,
    m.simulated
FROM measured AS m
LEFT JOIN counted AS c USING (review_id)
-- labels without edits: the draft is lost
WHERE NOT coalesce(c.has_keypoints, false) AND (c.review_id IS NOT NULL OR len(m.labels) = 0)
ORDER BY m.dataset, m.review_id;
