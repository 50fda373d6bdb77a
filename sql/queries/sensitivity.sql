-- Which parameter moves the difference between cloud and local most, each at its P10 and P90, the widest first.
-- Params: dataset text = null
-- Grain: dataset, rank
SELECT
    dataset, rank, parameter, value, low, high, low_difference, difference, high_difference, flips, currency, price_version,
    simulated
FROM v_sensitivity
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR)
ORDER BY dataset, rank;
