-- The night in one line per arm: what was drafted, what had to be corrected, what it cost.
-- Params: dataset text = null
-- Grain: dataset, arm
WITH drafted AS (
    SELECT dataset, dataset_version, arm, string_agg(DISTINCT model_id, ', ' ORDER BY model_id) AS model_id
    FROM v_prelabel
    WHERE role IN ('chosen', 'compare')
    GROUP BY dataset, dataset_version, arm
)
SELECT
    cost.dataset, cost.arm, coalesce(effort.model_id, drafted.model_id) AS model_id, cost.images_count,
    cost.reviewed_count, cost.accepted_count, effort.her, effort.saving, effort.active_seconds_mean, cost.machine_cost, cost.review_cost, cost.total_cost,
    cost.cost_per_label, cost.currency, cost.price_version, cost.simulated
FROM v_tco_arm AS cost
LEFT JOIN v_arm_effort AS effort USING (dataset, dataset_version, arm)
LEFT JOIN drafted USING (dataset, dataset_version, arm)
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE ($dataset::VARCHAR IS NULL OR cost.dataset = $dataset::VARCHAR)
ORDER BY cost.dataset, cost.arm, model_id;
