-- What became of the images of each level, arm and placement.
-- Params: dataset text = null
-- Grain: dataset, level, arm, placement, outcome
SELECT o.dataset, i.level, o.arm, o.placement, o.outcome, count(*) AS images_count, bool_or(o.simulated) AS simulated
FROM v_outcome AS o
LEFT JOIN v_image AS i USING (dataset, dataset_version, image_id)
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE ($dataset::VARCHAR IS NULL OR o.dataset = $dataset::VARCHAR)
GROUP BY o.dataset, i.level, o.arm, o.placement, o.outcome
ORDER BY o.dataset, i.level, o.arm, o.placement, o.outcome;
