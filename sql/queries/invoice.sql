-- The invoice of each run: quantity times unit price, rounded once to millionths, with the price's version and day.
-- Params: dataset text = null; run_id text = null
-- Grain: dataset, dataset_version, arm, purpose, run_id, category, item
SELECT
    dataset, dataset_version, arm, purpose, run_id, category, item, quantity, unit, unit_price, amount, currency,
    price_version, price_book, price_item, price_as_of, measured, simulated
FROM v_cost_line
WHERE
    ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR)
    AND ($run_id::VARCHAR IS NULL OR run_id = $run_id::VARCHAR)
ORDER BY dataset, dataset_version, arm, purpose, run_id, category, item;
