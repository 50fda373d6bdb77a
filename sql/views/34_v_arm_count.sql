-- How many images an arm drafted, had reviewed, and how many labels of it were accepted (the door's word, see v_review).
-- Params: none
-- Grain: dataset, dataset_version, arm
CREATE VIEW v_arm_count AS
WITH accepted AS (
    SELECT dataset, dataset_version, arm, count(*) AS reviewed_count, sum(labels_count)::BIGINT AS accepted_count
    FROM v_image_effort
    GROUP BY ALL
),
image AS (
    SELECT dataset, dataset_version, arm, count(*) AS images_count
    FROM v_arm_image
    GROUP BY ALL
)
SELECT
    dataset, dataset_version, arm, coalesce(images_count, 0) AS images_count, coalesce(reviewed_count, 0) AS reviewed_count,
    coalesce(accepted_count, 0) AS accepted_count
FROM image
FULL JOIN accepted USING (dataset, dataset_version, arm);
COMMENT ON VIEW v_arm_count IS 'CREATE TEMP TABLE v_arm_count AS FROM v_arm_count';
