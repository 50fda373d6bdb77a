-- How good and how fast each detector is: AP50 against truth per split, images per second of the detector alone, and of
-- its attempts by the clock, with reading and landing. Speed is of one placement only, `measured_at`: on premises where
-- the model ran there (an evaluation makes no masks), else the cloud.
-- Params: dataset text = null
-- Grain: dataset, split, model_id
WITH speed AS (
    SELECT
        dataset, dataset_version, model_id, placement AS measured_at,
        sum(images_count) / sum(detector_seconds) AS images_per_second,
        sum(images_count) / nullif(sum(wall_seconds), 0) AS images_per_wall_second,
        bool_or(simulated) AS simulated
    FROM usage
    WHERE outcome = 'finished'
    GROUP BY dataset, dataset_version, model_id, placement
    HAVING sum(detector_seconds) > 0
    QUALIFY row_number() OVER (
        PARTITION BY dataset, dataset_version, model_id ORDER BY placement = 'cloud', placement
    ) = 1
),
figure AS (
    SELECT
        dataset, dataset_version, split, model_id,
        max(value) FILTER (metric = 'ap50') AS ap50,
        max(value) FILTER (metric = 'image_accuracy') AS image_accuracy,
        coalesce(max(images_count) FILTER (metric = 'ap50'), max(images_count)) AS images_count
    FROM v_quality
    GROUP BY dataset, dataset_version, split, model_id
)
SELECT
    dataset, split, model_id, ap50, image_accuracy, figure.images_count, speed.images_per_second,
    speed.images_per_wall_second, speed.measured_at, coalesce(speed.simulated, false) AS simulated
FROM figure
LEFT JOIN speed USING (dataset, dataset_version, model_id)
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR)
ORDER BY dataset, split, model_id;
