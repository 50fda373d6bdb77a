-- Which images each arm gave drafts for people to review: chosen, for comparison, or for a pilot, which has a plan of its own.
-- Evaluation on held-out images and checks of a place are not an arm's work.
-- Params: none
-- Grain: dataset, dataset_version, arm, image_id
CREATE VIEW v_arm_image AS
SELECT dataset, dataset_version, arm, image_id, bool_or(simulated) AS simulated
FROM (
    SELECT dataset, dataset_version, arm, image_id, simulated
    FROM v_prelabel
    WHERE role IN ('chosen', 'compare') AND outcome IN ('ok', 'empty')
    UNION ALL
    SELECT dataset, dataset_version, arm, image_id, simulated
    FROM prelabels
    WHERE role = 'pilot' AND outcome IN ('ok', 'empty')
)
GROUP BY dataset, dataset_version, arm, image_id;
