-- How far each parameter may be off, as factors on the lines it drives: P10 and P90 over the value in use.
-- A price without `low` and `high` is certain; the form of the book refuses those that no line is driven by, and of 0, which has
-- no multiple (labelop/cost/book_form.py). Seconds of review range by the standard error of their mean over
-- the images of the best source (v_best_effort): the fewer these are, the wider; of one alone no spread is known.
-- Params: none
-- Grain: dataset, dataset_version, parameter
CREATE VIEW v_range AS
WITH seconds AS (
    SELECT
        dataset, dataset_version, 'seconds.' || arm AS parameter, avg(effort_seconds) AS value,
        1.2816 * stddev_samp(effort_seconds) / sqrt(count(*)) AS spread
    FROM v_best_effort
    WHERE arm IN ('local', 'cloud')
    GROUP BY ALL
),
worth AS (
    -- hardware is paid for less what it is sold for
    SELECT
        i.price_item, i.amount::DOUBLE AS value, i.low::DOUBLE AS low, i.high::DOUBLE AS high,
        CASE i.price_item
            WHEN 'onprem.machine_price' THEN [i.low - p.machine_salvage, i.amount - p.machine_salvage, i.high - p.machine_salvage]
            WHEN 'onprem.machine_salvage' THEN [p.machine_price - i.low, p.machine_price - i.amount, p.machine_price - i.high]
            ELSE [i.low, i.amount, i.high]
        END::DOUBLE[] AS works
    FROM v_price_item AS i CROSS JOIN v_price AS p
    WHERE i.low IS NOT NULL AND i.high IS NOT NULL
)
SELECT
    d.dataset, d.dataset_version, w.price_item AS parameter, w.value, w.low, w.high,
    w.works[1] / w.works[2] AS low_factor, w.works[3] / w.works[2] AS high_factor
FROM worth AS w CROSS JOIN (SELECT DISTINCT dataset, dataset_version FROM seconds) AS d
WHERE w.works[2] > 0
UNION ALL
SELECT
    dataset, dataset_version, parameter, value, greatest(value - spread, 0), value + spread,
    greatest(value - spread, 0) / nullif(value, 0), (value + spread) / nullif(value, 0)
FROM seconds
WHERE spread IS NOT NULL;
COMMENT ON VIEW v_range IS 'CREATE TEMP TABLE v_range AS FROM v_range';
