-- How probable it is that cloud is cheaper per accepted label, over 10,000 draws of every uncertain parameter at once.
-- Params: dataset text = null
-- Grain: dataset
SELECT
    dataset, cloud_cheaper_probability, difference_p10, difference_p50, difference_p90, robust, draws_count, currency,
    price_version, simulated
FROM v_odds
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR)
ORDER BY dataset;
