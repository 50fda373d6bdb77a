-- Review seconds per image that the decisions in force expect of each arm, the mean over its groups of images.
-- Params: none
-- Grain: dataset, dataset_version, arm
CREATE VIEW v_expected_review AS
SELECT
    dataset, dataset_version, arm,
    sum(expected_review_seconds * images_count) / nullif(sum(images_count), 0) AS review_seconds
FROM v_decision
WHERE expected_review_seconds IS NOT NULL
GROUP BY dataset, dataset_version, arm;
