-- Which images each arm gave drafts for under the plan in force, chosen or for comparison; evaluation on held-out images
-- is not an arm's work. Before the first plan, all drafts count.
-- Params: none
-- Grain: dataset, dataset_version, arm, image_id
CREATE VIEW v_arm_image AS
SELECT p.dataset, p.dataset_version, p.arm, p.image_id, bool_or(p.simulated) AS simulated
FROM prelabels AS p
LEFT JOIN v_in_force AS f USING (dataset, dataset_version)
WHERE
    p.role IN ('chosen', 'compare') AND p.outcome IN ('ok', 'empty')
    AND (f.plan_id IS NULL OR p.batch_id IN (SELECT b.batch_id FROM batches AS b WHERE b.plan_id = f.plan_id))
GROUP BY p.dataset, p.dataset_version, p.arm, p.image_id;
