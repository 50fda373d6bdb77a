-- Tornado: the cost per accepted label of cloud less that of local, with each parameter at its P10 and P90, others in use.
-- `flips`: another arm is cheaper at one end. Widest first; measures.md section 4.5.
-- Params: none
-- Grain: dataset, dataset_version, parameter
CREATE VIEW v_sensitivity AS
WITH driver AS MATERIALIZED (
    SELECT *, if(arm = 'cloud', 1, -1) AS sign FROM v_cost_driver
),
gap AS (
    SELECT dataset, dataset_version, sum(signed_cost) AS difference, bool_or(simulated) AS simulated
    FROM (
        SELECT dataset, dataset_version, arm, any_value(sign * label_cost) AS signed_cost, bool_or(simulated) AS simulated
        FROM driver
        GROUP BY dataset, dataset_version, arm, category, item
    )
    GROUP BY dataset, dataset_version
    HAVING count(DISTINCT arm) = 2
),
sided AS (
    SELECT
        d.dataset, d.dataset_version, r.parameter, any_value(r.value) AS value, any_value(r.low) AS low,
        any_value(r.high) AS high,
        sum(d.sign * d.exact_cost * (pow(r.low_factor, d.exponent) - 1)) AS low_change,
        sum(d.sign * d.exact_cost * (pow(r.high_factor, d.exponent) - 1)) AS high_change
    FROM driver AS d
    JOIN v_range AS r USING (dataset, dataset_version, parameter)
    GROUP BY d.dataset, d.dataset_version, r.parameter
)
SELECT
    s.dataset, s.dataset_version, s.parameter, s.value, s.low, s.high,
    g.difference + s.low_change AS low_difference, g.difference AS difference, g.difference + s.high_change AS high_difference,
    row_number() OVER (
        PARTITION BY s.dataset, s.dataset_version
        ORDER BY round(greatest(abs(s.low_change), abs(s.high_change)), 12) DESC, s.parameter
    ) AS rank,
    least(g.difference + s.low_change, g.difference + s.high_change, g.difference) < 0
    AND greatest(g.difference + s.low_change, g.difference + s.high_change, g.difference) > 0 AS flips,
    p.currency, p.price_book, p.price_version, g.simulated
FROM sided AS s
JOIN gap AS g USING (dataset, dataset_version)
CROSS JOIN v_price AS p;
