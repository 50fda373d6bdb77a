-- Which images each arm gave drafts for, chosen or for comparison; evaluation on held-out images is not an arm's work.
-- Params: none
-- Grain: dataset, dataset_version, arm, image_id
CREATE VIEW v_arm_image AS
SELECT dataset, dataset_version, arm, image_id, bool_or(simulated) AS simulated
FROM v_prelabel
WHERE role IN ('chosen', 'compare') AND outcome IN ('ok', 'empty')
GROUP BY dataset, dataset_version, arm, image_id;
