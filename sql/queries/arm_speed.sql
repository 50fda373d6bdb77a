-- How fast each arm's models ran over all attempts, evaluations too: inside the engines and by the clock.
-- Params: dataset text = null
-- Grain: dataset, arm, model_id
SELECT
    dataset, arm, model_id, images_count, infer_seconds, wall_seconds, images_per_second, images_per_wall_second, simulated
FROM v_speed
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR)
ORDER BY dataset, arm, model_id;
