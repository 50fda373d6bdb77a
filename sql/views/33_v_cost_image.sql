-- What each image cost, line by line: a batch's machine cost in equal shares, its review cost by seconds; adds up exactly.
-- Largest remainder in whole millionths, see v_cost_batch. Sums over images equal v_cost_batch, v_cost_line and v_tco_arm.
-- Params: none
-- Grain: dataset, dataset_version, arm, purpose, run_id, batch_id, image_id, category, item
CREATE VIEW v_cost_image AS
WITH weighed AS (
    SELECT DISTINCT dataset_version, batch_id, false AS review, NULL AS run_id, NULL AS item, unnest(image_ids) AS image_id,
        1::HUGEINT AS weight
    FROM batches
    UNION ALL
    SELECT
        dataset_version, coalesce(batch_id, ''), true, run_id, arm || effort_source || ' seconds', image_id,
        sum(round(effort_seconds * 1e6)::BIGINT) + 1
    FROM v_review
    GROUP BY ALL
),
shared AS (
    SELECT
        b.*, w.image_id,
        (b.amount::DECIMAL(24, 6) * 1000000)::HUGEINT AS millionths,
        coalesce(w.weight, 1)::HUGEINT AS weight,
        sum(coalesce(w.weight, 1)::HUGEINT) OVER line AS total_weight
    FROM v_cost_batch AS b
    LEFT JOIN weighed AS w  -- a cost of a batch that no plan has stays a cost, of no image
        ON w.dataset_version = b.dataset_version AND w.batch_id = b.batch_id AND w.review = (b.category = 'review')
        AND (NOT w.review OR (w.run_id IS NOT DISTINCT FROM b.run_id AND w.item = b.arm || b.item))
    WINDOW line AS (
        PARTITION BY b.dataset, b.dataset_version, b.arm, b.purpose, b.run_id, b.batch_id, b.category, b.item
    )
),
floored AS (
    SELECT
        * EXCLUDE (weight, total_weight), millionths * weight // total_weight AS share,
        millionths * weight % total_weight AS remainder
    FROM shared
)
SELECT
    dataset, dataset_version, arm, purpose, run_id, batch_id, image_id, category, item,
    ((share + (row_number() OVER rest <= millionths - sum(share) OVER line)::INT)::DECIMAL(24, 0) * 0.000001)::DECIMAL(18, 6)
        AS amount,
    currency, price_book, price_version, measured, simulated
FROM floored
WINDOW
    line AS (PARTITION BY dataset, dataset_version, arm, purpose, run_id, batch_id, category, item),
    rest AS (
        PARTITION BY dataset, dataset_version, arm, purpose, run_id, batch_id, category, item ORDER BY remainder DESC, image_id
    );
