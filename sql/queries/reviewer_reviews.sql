-- Whose each review is, where it stands and what it took; for those who answer for labels, and never for pay.
-- Params: dataset text = null; state text = null; reviewer text = null; arm text = null
-- Grain: review_id
-- Needs: compare reviewers
SELECT
    dataset, review_id, image_id, arm, reviewer, state, refusal, labels_count, edits_count, effort_seconds, effort_source,
    submitted_at, simulated
FROM v_review
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE
    ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR)
    AND ($state::VARCHAR IS NULL OR state = $state::VARCHAR)
    AND ($reviewer::VARCHAR IS NULL OR reviewer = $reviewer::VARCHAR)
    AND ($arm::VARCHAR IS NULL OR arm = $arm::VARCHAR)
ORDER BY dataset, reviewer, review_id;
