-- Where local and cloud change places: at how many images, at which price of an escaped error, at how many review seconds.
-- Params: dataset text = null
-- Grain: dataset
SELECT
    dataset, break_even_images, break_even_reason, switching_escape_cost, switching_reason, machine_gap_review_seconds,
    currency, price_version, simulated
FROM v_break_even
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR)
ORDER BY dataset;
