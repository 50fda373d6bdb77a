-- What each batch cost: its shares of the invoice's lines, which add up to the invoice exactly.
-- Params: dataset text = null
-- Grain: dataset, arm, purpose, run_id, batch_id, category
SELECT
    dataset, arm, purpose, run_id, batch_id, category, sum(amount)::DECIMAL(18, 6) AS amount,
    any_value(currency) AS currency, any_value(price_version) AS price_version, bool_or(simulated) AS simulated
FROM v_cost_batch
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR)
GROUP BY dataset, arm, purpose, run_id, batch_id, category
ORDER BY dataset, arm, purpose, run_id, batch_id, category;
