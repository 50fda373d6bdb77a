-- How much people had to correct in each arm.
-- Params: dataset text = null
-- Grain: dataset, arm, model_id
SELECT
    dataset, arm, model_id, images_count, predictions_count, labels_count, edits_count,
    her, her_lo, her_hi, accept_rate, active_seconds_mean, model_seconds_mean, scratch_seconds_mean,
    saving, saving_lo, saving_hi, modelled_count, modelled_by, effort_source, simulated
FROM v_arm_effort
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR)
ORDER BY dataset, arm, model_id;
