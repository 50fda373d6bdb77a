-- How much each image had to be corrected in each arm; the dearest images first.
-- Params: dataset text = null; arm text = null
-- Grain: dataset, image_id, arm
SELECT
    dataset, image_id, arm, model_id, predictions_count, labels_count, edits_count, her, accept_rate, active_seconds,
    model_seconds, scratch_seconds, saving, effort_source, simulated
FROM v_image_effort
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR) AND ($arm::VARCHAR IS NULL OR arm = $arm::VARCHAR)
ORDER BY dataset, effort_seconds DESC, image_id, arm;
