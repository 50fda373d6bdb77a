-- What may be released of a dataset's current version: per image the review that was accepted last, over all arms.
-- Params: dataset text
-- Grain: image_id
-- Needs: compare reviewers
SELECT
    a.dataset, a.dataset_version, a.image_id, a.arm, a.review_id, a.batch_id, a.model_id, a.reviewer, len(a.labels) AS labels_count,
    a.simulated, a.submitted_at, a.content_digest, a.approved_by, a.role, a.approved_at
FROM v_accepted AS a
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE a.dataset = $dataset::VARCHAR
QUALIFY row_number() OVER (PARTITION BY a.image_id ORDER BY a.submitted_at DESC, a.review_id) = 1
ORDER BY a.image_id;
