-- The only door to accepted labels: reviews whose approval holds, one per image and arm, the last submitted one.
-- `approvals` is checked outside SQL (labelop/review/gate.py): seals, order of states, what was approved, seeds.
-- Params: none
-- Grain: dataset, dataset_version, image_id, arm
CREATE VIEW v_accepted AS
SELECT
    r.dataset, r.dataset_version, r.image_id, r.arm, r.review_id, r.batch_id, r.model_id, r.reviewer, r.labels,
    r.simulated, r.submitted_at, a.content_digest, a.approved_by, a.role, a.approved_at
FROM reviews AS r
JOIN approvals AS a USING (review_id)
WHERE a.refusal IS NULL AND r.arm <> 'import'
QUALIFY row_number() OVER (
    PARTITION BY r.dataset, r.dataset_version, r.image_id, r.arm ORDER BY r.submitted_at DESC, r.review_id
) = 1;
