-- Every distinct readable image of a dataset version, with its level.
-- Params: none
-- Grain: dataset, dataset_version, image_id
CREATE VIEW v_image AS
WITH image AS (
    SELECT dataset, dataset_version, image_id, count(*) AS files_count, min(path) AS path, max(split) AS split
    FROM images
    WHERE outcome = 'ok'
    GROUP BY dataset, dataset_version, image_id
)
SELECT image.*, v_level.level
FROM image LEFT JOIN v_level USING (dataset, dataset_version, image_id);
