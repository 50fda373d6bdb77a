-- How good each model is on images with truth, by the figures measured last.
-- Params: none
-- Grain: dataset, dataset_version, split, model_id, metric
CREATE VIEW v_quality AS
SELECT dataset, dataset_version, split, model_id, metric, value, images_count
FROM quality
QUALIFY row_number() OVER (
    PARTITION BY dataset, dataset_version, split, model_id, metric ORDER BY landed_at DESC, images_count DESC
) = 1;
