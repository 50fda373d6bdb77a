-- What each image cost in each arm: its shares of the invoice's lines, which add up to the invoice exactly.
-- Params: dataset text = null; arm text = null
-- Grain: dataset, arm, image_id
SELECT
    dataset, arm, image_id,
    coalesce(sum(amount) FILTER (category <> 'review'), 0)::DECIMAL(18, 6) AS machine_cost,
    coalesce(sum(amount) FILTER (category = 'review'), 0)::DECIMAL(18, 6) AS review_cost,
    sum(amount)::DECIMAL(18, 6) AS total_cost,
    any_value(currency) AS currency, any_value(price_version) AS price_version, bool_or(simulated) AS simulated
FROM v_cost_image
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE
    purpose = 'work' AND ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR)
    AND ($arm::VARCHAR IS NULL OR arm = $arm::VARCHAR)
GROUP BY dataset, arm, image_id
ORDER BY dataset, arm, image_id;
