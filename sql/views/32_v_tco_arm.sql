-- What an arm cost in all, and per image and accepted label.
-- cost_per_label = (C_machine + C_rev) / accepted, QA of measures.md section 7 without escaped errors, whose price is
-- not known yet. While images wait for review, their share of the machine's cost is left out; nobody has reviewed: null.
-- Params: none
-- Grain: dataset, dataset_version, arm
CREATE VIEW v_tco_arm AS
WITH cost AS (
    SELECT
        dataset, dataset_version, arm,
        coalesce(sum(amount) FILTER (category <> 'review'), 0)::DECIMAL(18, 6) AS machine_cost,
        coalesce(sum(amount) FILTER (category = 'review'), 0)::DECIMAL(18, 6) AS review_cost,
        sum(amount)::DECIMAL(18, 6) AS total_cost,
        any_value(currency) AS currency,
        bool_or(simulated) AS simulated
    FROM v_cost_line
    GROUP BY dataset, dataset_version, arm
),
image AS (
    SELECT dataset, dataset_version, arm, count(*) AS images_count
    FROM v_arm_image
    GROUP BY dataset, dataset_version, arm
),
accepted AS (
    SELECT
        dataset, dataset_version, arm, count(*) AS reviewed_count, sum(labels_count)::BIGINT AS accepted_count
    FROM v_image_effort
    GROUP BY dataset, dataset_version, arm
),
joined AS (
    SELECT
        dataset, dataset_version, arm, machine_cost, review_cost, total_cost, currency, simulated,
        coalesce(images_count, 0) AS images_count,
        coalesce(reviewed_count, 0) AS reviewed_count,
        coalesce(accepted_count, 0) AS accepted_count,
        coalesce(machine_cost::DOUBLE / nullif(images_count, 0), 0) * reviewed_count
        + review_cost::DOUBLE AS reviewed_cost
    FROM cost
    LEFT JOIN image USING (dataset, dataset_version, arm)
    LEFT JOIN accepted USING (dataset, dataset_version, arm)
)
SELECT
    * EXCLUDE (reviewed_cost),
    (reviewed_cost / nullif(reviewed_count, 0))::DECIMAL(18, 6) AS cost_per_image,
    (reviewed_cost / nullif(accepted_count, 0))::DECIMAL(18, 6) AS cost_per_label,
    (machine_cost::DOUBLE / nullif(total_cost::DOUBLE, 0)) AS inference_share
FROM joined;
