-- What became of each image in the arm that routing chose for it, under the plan in force; before the first plan, the
-- last outcome.
-- Params: none
-- Grain: dataset, dataset_version, image_id
CREATE VIEW v_outcome AS
SELECT p.dataset, p.dataset_version, p.image_id, p.arm, p.placement, p.outcome, p.reason, p.simulated
FROM prelabels AS p
LEFT JOIN v_in_force AS f USING (dataset, dataset_version)
WHERE
    p.role = 'chosen'
    AND (f.plan_id IS NULL OR p.batch_id IN (SELECT b.batch_id FROM batches AS b WHERE b.plan_id = f.plan_id))
QUALIFY row_number() OVER (
    PARTITION BY p.dataset, p.dataset_version, p.image_id ORDER BY p.landed_at DESC, p.batch_id
) = 1;
