-- What the work of each arm used and cost, line by line over all its runs; `invoice` has them run by run.
-- Params: dataset text = null
-- Grain: dataset, arm, category, item
SELECT
    dataset, arm, category, sum(quantity)::DOUBLE AS quantity, any_value(unit) AS unit, any_value(unit_price) AS unit_price,
    sum(amount)::DECIMAL(18, 6) AS amount, any_value(currency) AS currency, bool_and(measured) AS measured,
    bool_or(simulated) AS simulated, item, any_value(price_book) AS price_book
FROM v_cost_line
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE purpose = 'work' AND ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR)
GROUP BY dataset, arm, category, item
ORDER BY dataset, arm, category, item;
