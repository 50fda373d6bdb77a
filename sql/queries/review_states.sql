-- Where each review stands, who moved it last and why its labels are not accepted; newest first.
-- It does not say whose review, and `by` is null where that was its own reviewer: with `review_ledger` beside it, it would tell
-- the seconds of single people.
-- Params: dataset text = null; state text = null; arm text = null
-- Grain: review_id
WITH last AS (
    SELECT review_id, "by", role, reason, note, landed_at
    FROM review_states
    QUALIFY row_number() OVER (PARTITION BY review_id ORDER BY position DESC) = 1
)
SELECT
    r.dataset, r.review_id, r.image_id, r.arm, r.state, r.refusal, r.result, r.labels_count, r.edits_count,
    CASE WHEN last."by" IS DISTINCT FROM r.reviewer THEN last."by" END AS "by", last.role, last.reason, nullif(last.note, '') AS note, last.landed_at AS since, r.simulated
FROM v_review AS r
SEMI JOIN v_current USING (dataset, dataset_version)
LEFT JOIN last USING (review_id)
WHERE
    ($dataset::VARCHAR IS NULL OR r.dataset = $dataset::VARCHAR)
    AND ($state::VARCHAR IS NULL OR r.state = $state::VARCHAR)
    AND ($arm::VARCHAR IS NULL OR r.arm = $arm::VARCHAR)
ORDER BY since DESC NULLS FIRST, r.review_id;
