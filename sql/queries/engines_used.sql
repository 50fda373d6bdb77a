-- Which engine each model ran on, where, why, for how many images, over all attempts that finished; and what getting it ready took.
-- Params: dataset text = null
-- Grain: dataset, arm, placement, model_id, engine, device, reason
SELECT
    dataset, arm, placement, model_id, engine, device,
    sum(images_count)::BIGINT AS images_count,
    sum(infer_seconds) AS infer_seconds,
    sum(cold_start_seconds) AS cold_start_seconds,
    bool_or(simulated) AS simulated,
    engine_reason AS reason
FROM usage
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE outcome = 'finished' AND ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR)
GROUP BY dataset, arm, placement, model_id, engine, device, engine_reason
ORDER BY dataset, arm, placement, model_id, engine, device, reason;
