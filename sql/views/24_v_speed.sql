-- How fast each model ran, over all attempts: inside the engine and by the clock.
-- Params: none
-- Grain: dataset, dataset_version, arm, model_id
CREATE VIEW v_speed AS
SELECT
    dataset, dataset_version, arm, model_id,
    sum(images_count)::BIGINT AS images_count,
    sum(infer_seconds) AS infer_seconds,
    sum(detector_seconds) AS detector_seconds,
    sum(wall_seconds) AS wall_seconds,
    sum(images_count) / nullif(sum(infer_seconds), 0) AS images_per_second,
    sum(images_count) / nullif(sum(wall_seconds), 0) AS images_per_wall_second,
    bool_or(simulated) AS simulated
FROM usage
WHERE outcome = 'finished'
GROUP BY dataset, dataset_version, arm, model_id;
