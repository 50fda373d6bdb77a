-- The night in one line per arm: what was drafted, what had to be corrected, what it cost.
-- Params: dataset text = null
-- Grain: dataset, arm
SELECT
    cost.dataset, cost.arm, effort.model_id, cost.images_count, cost.reviewed_count, cost.accepted_count, effort.her,
    effort.saving, effort.active_seconds_mean, cost.machine_cost, cost.review_cost, cost.total_cost,
    cost.cost_per_label, cost.currency, cost.simulated
FROM v_tco_arm AS cost
LEFT JOIN v_arm_effort AS effort USING (dataset, dataset_version, arm)
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE ($dataset::VARCHAR IS NULL OR cost.dataset = $dataset::VARCHAR)
ORDER BY cost.dataset, cost.arm, effort.model_id;
