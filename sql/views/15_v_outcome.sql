-- What became of each image in the arm that routing chose for it; a re-routed image counts once, at its last outcome.
-- Params: none
-- Grain: dataset, dataset_version, image_id
CREATE VIEW v_outcome AS
SELECT dataset, dataset_version, image_id, arm, placement, outcome, reason, simulated
FROM v_prelabel
WHERE role = 'chosen'
QUALIFY row_number() OVER (
    PARTITION BY dataset, dataset_version, image_id ORDER BY landed_at DESC, batch_id
) = 1;
