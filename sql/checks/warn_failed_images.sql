-- No image failed or became unreadable on its way through an arm.
-- Params: none
-- Grain: dataset, image_id
SELECT dataset, image_id, arm, outcome, reason
FROM v_outcome
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE outcome IN ('failed', 'unreadable')
ORDER BY dataset, image_id;
