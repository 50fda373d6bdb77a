-- What an arm cost in all, by category, and per image and accepted label.
-- cost_per_label = (C_machine + C_rev) / accepted; qa_cost_per_label adds c_esc * residual rate (measures.md section 7) and is
-- null, with its reason, while the price of an escaped error or their rate is not known. While images wait for review, their
-- share of the machine's cost is left out; nobody has reviewed: null. Accepted is what the door lets through (see v_review).
-- Params: none
-- Grain: dataset, dataset_version, arm
CREATE VIEW v_tco_arm AS
WITH cost AS (
    SELECT
        dataset, dataset_version, arm,
        coalesce(sum(amount) FILTER (category = 'hardware'), 0)::DECIMAL(18, 6) AS hardware_cost,
        coalesce(sum(amount) FILTER (category = 'energy'), 0)::DECIMAL(18, 6) AS energy_cost,
        coalesce(sum(amount) FILTER (category = 'blocked'), 0)::DECIMAL(18, 6) AS blocked_cost,
        coalesce(sum(amount) FILTER (category = 'slowdown'), 0)::DECIMAL(18, 6) AS slowdown_cost,
        coalesce(sum(amount) FILTER (category = 'gpu'), 0)::DECIMAL(18, 6) AS gpu_cost,
        coalesce(sum(amount) FILTER (category = 'api'), 0)::DECIMAL(18, 6) AS api_cost,
        coalesce(sum(amount) FILTER (category = 'storage'), 0)::DECIMAL(18, 6) AS storage_cost,
        coalesce(sum(amount) FILTER (category = 'requests'), 0)::DECIMAL(18, 6) AS requests_cost,
        coalesce(sum(amount) FILTER (category = 'egress'), 0)::DECIMAL(18, 6) AS egress_cost,
        coalesce(sum(amount) FILTER (category = 'setup'), 0)::DECIMAL(18, 6) AS setup_cost,
        coalesce(sum(amount) FILTER (category <> 'review'), 0)::DECIMAL(18, 6) AS machine_cost,
        coalesce(sum(amount) FILTER (category = 'review'), 0)::DECIMAL(18, 6) AS review_cost,
        sum(amount)::DECIMAL(18, 6) AS total_cost,
        any_value(currency) AS currency, any_value(price_book) AS price_book, any_value(price_version) AS price_version,
        bool_or(simulated) AS simulated
    FROM v_cost_line
    WHERE purpose = 'work'
    GROUP BY ALL
),
joined AS (
    SELECT
        cost.*,
        coalesce(images_count, 0) AS images_count,
        coalesce(reviewed_count, 0) AS reviewed_count,
        coalesce(n.accepted_count, 0) AS accepted_count,
        coalesce(machine_cost::DOUBLE / nullif(images_count, 0), 0) * reviewed_count
        + review_cost::DOUBLE AS reviewed_cost,
        r.residual_rate, p.escaped_error
    FROM cost
    LEFT JOIN v_arm_count AS n USING (dataset, dataset_version, arm)
    LEFT JOIN v_residual AS r USING (dataset, dataset_version, arm)
    CROSS JOIN v_price AS p
)
SELECT
    * EXCLUDE (reviewed_cost, escaped_error),
    (reviewed_cost / nullif(reviewed_count, 0))::DECIMAL(18, 6) AS cost_per_image,
    (reviewed_cost / nullif(accepted_count, 0))::DECIMAL(18, 6) AS cost_per_label,
    (reviewed_cost / nullif(accepted_count, 0) + escaped_error * residual_rate)::DECIMAL(18, 6) AS qa_cost_per_label,
    CASE
        WHEN accepted_count = 0 THEN 'nothing is accepted; review_states says why'
        WHEN residual_rate IS NULL THEN 'no seeded error was caught, so nobody knows how many escape'
        WHEN escaped_error IS NULL THEN 'the price book has no review.escaped_error; see switching_escape_cost'
    END AS qa_reason,
    machine_cost::DOUBLE / nullif(total_cost::DOUBLE, 0) AS inference_share
FROM joined;
