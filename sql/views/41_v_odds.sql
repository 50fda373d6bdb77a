-- How probable it is that cloud is cheaper: 10,000 draws of every uncertain parameter at once; measures.md section 4.5.
-- Prices are two half triangles about the value in use, so that their median is that and P10 and P90 are `low` and `high`;
-- what a cost is divided by is drawn as what it is multiplied by, else a draw near 0 costs without bounds. Review seconds are
-- a bootstrap over the images of the best source of each arm (v_best_effort), kept in 32 groups that both arms share, so that
-- a million images cost what a hundred do; a draw without any image of an arm leaves its seconds as they are. Seeded: the same
-- rows give the same draws.
-- `robust`: the probability is at least .9 or at most .1, and no arm's seconds are those of one image, of which no spread is known.
-- Params: none
-- Grain: dataset, dataset_version
CREATE VIEW v_odds AS
WITH driver AS MATERIALIZED (
    SELECT * FROM v_cost_driver
),
parameter AS MATERIALIZED (
    SELECT
        row_number() OVER (ORDER BY dataset, dataset_version, parameter) AS number, dataset, dataset_version, parameter,
        1 - least(pow(low_factor, exponent), pow(high_factor, exponent), 1) AS below,
        greatest(pow(low_factor, exponent), pow(high_factor, exponent), 1) - 1 AS above
    FROM v_range
    JOIN (SELECT DISTINCT dataset, dataset_version, parameter, exponent FROM driver) USING (dataset, dataset_version, parameter)
),
part AS MATERIALIZED (
    -- lines of an arm that the same parameters move are one part
    SELECT
        row_number() OVER () AS part, dataset, dataset_version, drivers, arm,
        sum(sign * exact_cost) AS cost, sum(sign * label_cost) AS paid, bool_or(simulated) AS simulated
    FROM (
        SELECT
            d.dataset, d.dataset_version, d.arm, d.category, d.item,
            if(d.arm = 'cloud', 1, -1) AS sign, any_value(d.label_cost) AS label_cost, any_value(d.exact_cost) AS exact_cost,
            bool_or(d.simulated) AS simulated,
            list(p.number ORDER BY p.number) FILTER (p.number IS NOT NULL) AS drivers
        FROM driver AS d
        LEFT JOIN parameter AS p USING (dataset, dataset_version, parameter)
        GROUP BY d.dataset, d.dataset_version, d.arm, d.category, d.item
    )
    GROUP BY dataset, dataset_version, arm, drivers
),
bin AS MATERIALIZED (
    SELECT
        dataset, dataset_version, hash(image_id) % 32 AS bin,
        sum(effort_seconds) FILTER (arm = 'local') AS local_seconds, count(*) FILTER (arm = 'local') AS local_count,
        sum(effort_seconds) FILTER (arm = 'cloud') AS cloud_seconds, count(*) FILTER (arm = 'cloud') AS cloud_count
    FROM v_best_effort
    GROUP BY dataset, dataset_version, hash(image_id) % 32
),
place AS MATERIALIZED (
    SELECT
        dense_rank() OVER (ORDER BY dataset, dataset_version) AS place_set,
        row_number() OVER (PARTITION BY dataset, dataset_version ORDER BY bin) - 1 AS place,
        count(*) OVER (PARTITION BY dataset, dataset_version) AS places,
        *
    FROM bin
),
seconds AS (
    SELECT
        b.place_set, b.draw, sum(local_seconds) / sum(local_count) AS local_mean, sum(cloud_seconds) / sum(cloud_count) AS cloud_mean
    FROM (
        -- by the fraction of the hash: its remainders by a power of two are a lattice, of 2 places never the same twice
        SELECT s.place_set, draw, floor(hash(draw, slot, 20261121) / 18446744073709551616.0 * s.places)::BIGINT AS place
        FROM (SELECT DISTINCT place_set, places FROM place) AS s
        CROSS JOIN range(10000) AS draws (draw)
        CROSS JOIN range(32) AS slots (slot)
        WHERE slot < s.places
    ) AS b
    JOIN place AS p ON p.place_set = b.place_set AND p.place = b.place
    GROUP BY b.place_set, b.draw
),
base AS (
    SELECT
        place_set, any_value(dataset) AS dataset, any_value(dataset_version) AS dataset_version,
        sum(local_seconds) / sum(local_count) AS local_mean, sum(cloud_seconds) / sum(cloud_count) AS cloud_mean
    FROM place
    GROUP BY place_set
),
drawn AS (
    SELECT
        number, draw,
        ln(greatest(
            -- half a triangle has a tenth of all draws .5528 of the way to its end
            CASE
                WHEN u < 0.5 THEN 1 - below / 0.5528 * (1 - sqrt(2 * u))
                ELSE 1 + above / 0.5528 * (1 - sqrt(2 - 2 * u))
            END, 1e-9
        )) AS log_factor
    FROM (
        SELECT number, draw, below, above, hash(draw, parameter, 20261121) / 18446744073709551616.0 AS u
        FROM parameter CROSS JOIN range(10000) AS draws (draw)
        WHERE NOT starts_with(parameter, 'seconds.')
    )
    UNION ALL
    SELECT
        p.number, s.draw,
        coalesce(
            CASE p.parameter WHEN 'seconds.local' THEN ln(s.local_mean / b.local_mean) ELSE ln(s.cloud_mean / b.cloud_mean) END,
            0
        )
    FROM parameter AS p
    JOIN base AS b USING (dataset, dataset_version)
    JOIN seconds AS s USING (place_set)
    WHERE starts_with(p.parameter, 'seconds.')
),
moved AS (
    SELECT d.part, w.draw, exp(sum(w.log_factor)) AS factor
    FROM (SELECT part, unnest(drivers) AS number FROM part) AS d
    JOIN drawn AS w USING (number)
    GROUP BY d.part, w.draw
),
certain AS (
    SELECT
        dataset, dataset_version, sum(paid) - coalesce(sum(cost) FILTER (drivers IS NOT NULL), 0) AS cost,
        bool_or(simulated) AS simulated
    FROM part
    GROUP BY dataset, dataset_version
    HAVING count(DISTINCT arm) = 2
),
single AS (
    SELECT dataset, dataset_version
    FROM v_best_effort
    WHERE arm IN ('local', 'cloud')
    GROUP BY dataset, dataset_version, arm
    HAVING count(*) = 1
),
outcome AS (
    SELECT p.dataset, p.dataset_version, m.draw, sum(p.cost * m.factor) AS moved
    FROM moved AS m
    JOIN part AS p USING (part)
    GROUP BY p.dataset, p.dataset_version, m.draw
)
SELECT
    c.dataset, c.dataset_version, count(o.draw) AS draws_count,
    quantile_cont(coalesce(o.moved, 0) + c.cost, 0.1) AS difference_p10,
    quantile_cont(coalesce(o.moved, 0) + c.cost, 0.5) AS difference_p50,
    quantile_cont(coalesce(o.moved, 0) + c.cost, 0.9) AS difference_p90,
    avg((coalesce(o.moved, 0) + c.cost < 0)::INT) AS cloud_cheaper_probability,
    avg((coalesce(o.moved, 0) + c.cost < 0)::INT) NOT BETWEEN 0.100001 AND 0.899999
    AND (c.dataset, c.dataset_version) NOT IN (SELECT (s.dataset, s.dataset_version) FROM single AS s) AS robust,
    any_value(p.currency) AS currency, any_value(p.price_book) AS price_book, any_value(p.price_version) AS price_version,
    bool_or(c.simulated) AS simulated
FROM certain AS c
LEFT JOIN outcome AS o USING (dataset, dataset_version)  -- without anything uncertain there is nothing to draw
CROSS JOIN v_price AS p
GROUP BY c.dataset, c.dataset_version;
