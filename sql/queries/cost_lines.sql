-- What was used and what it cost, line by line.
-- Params: dataset text = null
-- Grain: dataset, arm, category, item
SELECT
    dataset, arm, category, quantity, unit, unit_price, amount, currency, measured, simulated, item, price_book
FROM v_cost_line
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR)
ORDER BY dataset, arm, category, item;
