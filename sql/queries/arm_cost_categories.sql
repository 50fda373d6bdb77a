-- What each arm cost by category, and per accepted label with the errors that escaped, where their price is known.
-- Params: dataset text = null
-- Grain: dataset, arm
SELECT
    dataset, arm, hardware_cost, energy_cost, blocked_cost, slowdown_cost, gpu_cost, api_cost, storage_cost, requests_cost,
    egress_cost, setup_cost, review_cost, total_cost, cost_per_image, cost_per_label, residual_rate, qa_cost_per_label,
    qa_reason, inference_share, currency, price_version, simulated
FROM v_tco_arm
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR)
ORDER BY dataset, arm;
