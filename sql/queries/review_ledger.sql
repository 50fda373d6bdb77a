-- Every pass of a person over an image with its seconds, paid for whatever became of it; `accepted` labels are those that count.
-- It does not say whose pass, and no other query that anybody may ask does: seconds of single people are their lead's to see.
-- Params: dataset text = null
-- Grain: review_id
SELECT
    r.dataset, r.dataset_version, r.review_id, r.image_id, r.arm, r.model_id, r.batch_id, r.run_id, r.state, r.refusal,
    a.review_id IS NOT NULL AS accepted, r.labels_count,
    len(list_filter(raw.labels, lambda x: x.x0_px IS NULL)) AS class_labels_count,
    r.edits_count, r.effort_seconds, r.effort_source, r.submitted_at, r.simulated
FROM v_review AS r
JOIN reviews AS raw USING (review_id)
LEFT JOIN v_accepted AS a USING (review_id)
SEMI JOIN v_current AS c ON c.dataset = r.dataset AND c.dataset_version = r.dataset_version
WHERE ($dataset::VARCHAR IS NULL OR r.dataset = $dataset::VARCHAR)
ORDER BY r.dataset, r.review_id;
