-- Images of an arm whose seconds are of the best source that the arm has: measured where any are, else calibrated, else from
-- literature. Means and spreads of an arm's seconds are of these alone. What was paid is summed over all images instead, each
-- cost line with its source (v_cost_line).
-- Params: none
-- Grain: dataset, dataset_version, image_id, arm
CREATE VIEW v_best_effort AS
SELECT *
FROM v_image_effort
WHERE (dataset, dataset_version, arm, source_rank) IN (
    SELECT (dataset, dataset_version, arm, min(source_rank)) FROM v_image_effort GROUP BY dataset, dataset_version, arm
);
