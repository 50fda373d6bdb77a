-- What each arm cost in all, per image and per accepted label.
-- Params: dataset text = null
-- Grain: dataset, arm
SELECT
    dataset, arm, machine_cost, review_cost, total_cost, images_count, reviewed_count, accepted_count, cost_per_image,
    cost_per_label, inference_share, currency, price_version, simulated
FROM v_tco_arm
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR)
ORDER BY dataset, arm;
