-- Every image that a batch of the plan in force answered for: which arm and role, and what came of it.
-- Params: dataset text = null
-- Grain: dataset, batch_id, image_id
SELECT
    dataset, dataset_version, batch_id, image_id, arm, role, placement, model_id, outcome, reason,
    len(predictions) AS predictions_count, simulated
FROM v_prelabel
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR)
ORDER BY dataset, batch_id, image_id;
