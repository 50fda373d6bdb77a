-- Every attempt that was paid for belongs to a planned batch.
-- Params: none
-- Grain: attempt_id
SELECT attempt_id, batch_id, dataset
FROM usage
ANTI JOIN batches USING (batch_id)
ORDER BY attempt_id;
