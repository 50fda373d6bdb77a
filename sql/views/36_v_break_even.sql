-- Where local and cloud change places: by volume, by the price of an escaped error, by review seconds; measures.md section 7.
-- N* = (F_L - F_C) / (m_C - m_L) while both are of one sign, else one arm is cheaper at every volume; F is what does not grow
-- with images (setup, blocked hours, starts of sessions), m the rest per image. switch = (C_A - C_B) / (res_B - res_A).
-- What is not defined is null, and its reason says why.
-- Params: none
-- Grain: dataset, dataset_version
CREATE VIEW v_break_even AS
WITH fixed AS (
    SELECT dataset, dataset_version, arm, sum(amount)::DOUBLE AS fixed_cost
    FROM v_cost_line
    WHERE purpose = 'work' AND (category = 'setup' OR item IN ('work blocked', 'start, minimum, rounding'))
    GROUP BY ALL
),
arm AS (
    SELECT
        t.*, coalesce(f.fixed_cost, 0) AS fixed_cost,
        (t.machine_cost::DOUBLE - coalesce(f.fixed_cost, 0)) / nullif(t.images_count, 0) AS machine_per_image,
        t.review_cost::DOUBLE / nullif(t.reviewed_count, 0) AS review_per_image
    FROM v_tco_arm AS t
    LEFT JOIN fixed AS f USING (dataset, dataset_version, arm)
),
gap AS (
    SELECT
        l.dataset, l.dataset_version, l.currency, l.price_book, l.price_version, l.simulated OR c.simulated AS simulated,
        l.fixed_cost - c.fixed_cost AS fixed_gap,
        (c.machine_per_image + c.review_per_image) - (l.machine_per_image + l.review_per_image) AS growing_gap,
        abs(c.machine_per_image - l.machine_per_image) AS machine_gap,
        l.cost_per_label::DOUBLE - c.cost_per_label::DOUBLE AS label_gap,
        c.residual_rate - l.residual_rate AS residual_gap
    FROM arm AS l
    JOIN arm AS c USING (dataset, dataset_version)
    WHERE l.arm = 'local' AND c.arm = 'cloud'
)
SELECT
    g.dataset, g.dataset_version,
    CASE WHEN fixed_gap * growing_gap > 0 THEN fixed_gap / growing_gap END AS break_even_images,
    CASE
        WHEN growing_gap IS NULL THEN 'an arm was not reviewed'
        WHEN fixed_gap * growing_gap > 0 THEN if(growing_gap > 0, 'local', 'cloud') || ' is cheaper above it'
        WHEN fixed_gap = 0 AND growing_gap = 0 THEN 'both cost the same at every volume'
        ELSE if(fixed_gap > 0 OR growing_gap < 0, 'cloud', 'local') || ' is cheaper at every volume'
    END AS break_even_reason,
    CASE WHEN label_gap / nullif(residual_gap, 0) > 0 THEN label_gap / residual_gap END::DECIMAL(18, 6)
        AS switching_escape_cost,
    CASE
        WHEN residual_gap IS NULL THEN 'no seeded error was caught in both arms'
        WHEN label_gap / nullif(residual_gap, 0) > 0 THEN if(residual_gap > 0, 'local', 'cloud') || ' is cheaper above it'
        ELSE 'no price of an escaped error changes which arm is cheaper'
    END AS switching_reason,
    machine_gap / (p.loaded_rate_per_hour / 3600 / p.productive_fraction) AS machine_gap_review_seconds,
    g.currency, g.price_book, g.price_version, g.simulated
FROM gap AS g CROSS JOIN v_price AS p;
