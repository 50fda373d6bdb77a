-- The prelabels that count: those of the plan in force; before the first plan, all of them.
-- Params: none
-- Grain: dataset, dataset_version, batch_id, image_id
CREATE VIEW v_prelabel AS
SELECT p.*
FROM prelabels AS p
LEFT JOIN v_in_force AS f USING (dataset, dataset_version)
WHERE f.plan_id IS NULL OR p.batch_id IN (SELECT b.batch_id FROM batches AS b WHERE b.plan_id = f.plan_id);
