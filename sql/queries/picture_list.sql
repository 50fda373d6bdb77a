-- Which reviewed images the report may choose its pictures from: where the original is, how restricted it is, and how
-- many kinds of correction it shows. An unclassified image has no level and must be taken as restricted.
-- Params: dataset text = null
-- Grain: review_id
WITH kind AS (
    SELECT review_id, count(DISTINCT op) AS kinds_count
    FROM edits
    GROUP BY review_id
)
SELECT
    e.dataset, e.image_id, i.path, i.source_uri, i.width_px, i.height_px, v.level, e.arm, e.model_id, e.review_id,
    coalesce(kind.kinds_count, 0) AS kinds_count, e.edits_count, e.simulated
FROM v_image_effort AS e
SEMI JOIN v_current USING (dataset, dataset_version)
JOIN v_image AS v USING (dataset, dataset_version, image_id)
JOIN images AS i USING (dataset, dataset_version, image_id, path)
LEFT JOIN kind USING (review_id)
WHERE e.arm IN ('local', 'cloud') AND i.outcome = 'ok' AND ($dataset::VARCHAR IS NULL OR e.dataset = $dataset::VARCHAR)
ORDER BY e.dataset, i.path, e.arm, e.review_id;
