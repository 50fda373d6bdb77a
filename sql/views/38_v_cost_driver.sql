-- What each line adds to an arm's cost per accepted label, and which parameters it is proportional to (exponent 1) or
-- inversely proportional to (-1): prices of the book and the review seconds of each arm. `label_cost` is of the invoice; a factor
-- acts on `exact_cost`, which is not rounded, as a price next to nothing may be thousands of times that at its P90.
-- Params: none
-- Grain: dataset, dataset_version, arm, category, item, parameter
CREATE VIEW v_cost_driver AS
WITH depends AS (
    SELECT * FROM (VALUES
        ('hardware', NULL, 'onprem.machine_price', 1), ('hardware', NULL, 'onprem.machine_salvage', 1),
        ('hardware', NULL, 'onprem.machine_life', -1), ('hardware', NULL, 'onprem.machine_busy', -1),
        ('energy', 'electricity', 'onprem.machine_power', 1), ('energy', NULL, 'onprem.pue', 1),
        ('energy', NULL, 'onprem.electricity', 1),
        ('slowdown', NULL, 'onprem.slowdown', 1), ('slowdown', NULL, 'review.loaded_rate', 1),
        ('blocked', 'work blocked', 'onprem.blocked', 1), ('blocked', NULL, 'review.loaded_rate', 1),
        ('setup', 'setup and upkeep', 'setup', 1), ('setup', 'approval and contracts', 'cloud.governance', 1),
        ('setup', NULL, 'review.loaded_rate', 1),
        ('gpu', NULL, 'cloud.gpu', 1), ('api', NULL, 'cloud.api', 1),
        ('storage', NULL, 'cloud.storage', 1), ('storage', NULL, 'cloud.storage_time', 1),
        ('requests', 'put', 'cloud.put', 1), ('requests', 'get', 'cloud.get', 1), ('egress', NULL, 'cloud.egress', 1),
        ('review', NULL, 'review.loaded_rate', 1), ('review', NULL, 'review.productive_fraction', -1),
        ('review', NULL, 'seconds', 1)
    ) AS listed (category, item, parameter, exponent)
),
part AS (
    SELECT
        l.dataset, l.dataset_version, l.arm, l.category, l.item,
        any_value(n.accepted_count) AS labels,
        any_value(if(l.category = 'review', 1, n.reviewed_count / n.images_count)) AS share,
        sum(l.amount)::DOUBLE / labels * share AS label_cost,
        sum(l.quantity::DECIMAL(20, 9) * l.unit_price)::DOUBLE / labels * share AS exact_cost,
        bool_or(l.simulated) AS simulated
    FROM v_cost_line AS l
    JOIN v_arm_count AS n USING (dataset, dataset_version, arm)
    WHERE l.purpose = 'work' AND l.arm IN ('local', 'cloud') AND n.accepted_count > 0 AND n.images_count > 0
    GROUP BY ALL
)
SELECT
    p.* EXCLUDE (labels, share), d.exponent,
    CASE d.parameter
        WHEN 'seconds' THEN 'seconds.' || p.arm
        WHEN 'setup' THEN if(p.arm = 'local', 'onprem', 'cloud') || '.setup'
        ELSE d.parameter
    END AS parameter
FROM part AS p
LEFT JOIN depends AS d ON d.category = p.category AND (d.item IS NULL OR d.item = p.item);
