-- How many images an arm drafted, had reviewed, and how many labels of it were accepted (through the one door, `v_accepted`).
-- Params: none
-- Grain: dataset, dataset_version, arm
CREATE VIEW v_arm_count AS
WITH accepted AS (
    SELECT dataset, dataset_version, arm, count(*) AS reviewed_count, sum(len(labels))::BIGINT AS accepted_count
    FROM v_accepted
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
