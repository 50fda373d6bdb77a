-- Every distinct readable image of a dataset version, with its level under the policy applied last.
-- Params: none
-- Grain: dataset, dataset_version, image_id
CREATE VIEW v_image AS
WITH image AS (
    SELECT dataset, dataset_version, image_id, count(*) AS files_count, min(path) AS path, max(split) AS split
    FROM images
    WHERE outcome = 'ok'
    GROUP BY dataset, dataset_version, image_id
),
level AS (
    SELECT dataset, dataset_version, image_id, level
    FROM levels
    QUALIFY row_number() OVER (
        PARTITION BY dataset, dataset_version, image_id ORDER BY landed_at DESC, policy_digest
    ) = 1
)
SELECT image.*, level.level
FROM image LEFT JOIN level USING (dataset, dataset_version, image_id);
