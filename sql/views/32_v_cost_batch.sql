-- Cost lines shared among the batches of their run, machines by seconds, review by its seconds; the shares add up exactly.
-- Largest remainder in whole millionths: every batch gets its share rounded down, the millionths left go to the largest
-- remainders. A line of reviews without a batch has one share whose `batch_id` is empty.
-- Params: none
-- Grain: dataset, dataset_version, arm, purpose, run_id, batch_id, category, item
CREATE VIEW v_cost_batch AS
WITH weighed AS (
    -- one more than the weight: what took no time still bears a share, and no total is zero
    SELECT dataset, dataset_version, arm, purpose, run_id, false AS review, NULL AS item, batch_id, sum(busy_us) + 1 AS weight
    FROM v_paid_use
    GROUP BY ALL
    UNION ALL
    SELECT
        dataset, dataset_version, arm, 'work', run_id, true, effort_source || ' seconds', coalesce(batch_id, ''),
        sum(round(effort_seconds * 1e6)::BIGINT) + 1
    FROM v_review
    GROUP BY ALL
),
shared AS (
    SELECT
        l.*, w.batch_id,
        (l.amount::DECIMAL(24, 6) * 1000000)::HUGEINT AS millionths,
        w.weight::HUGEINT AS weight,
        sum(w.weight::HUGEINT) OVER line AS total_weight
    FROM v_cost_line AS l
    JOIN weighed AS w
        ON w.dataset = l.dataset AND w.dataset_version = l.dataset_version AND w.arm = l.arm AND w.purpose = l.purpose
        AND w.run_id IS NOT DISTINCT FROM l.run_id AND w.review = (l.category = 'review')
        AND (w.item IS NULL OR w.item = l.item)
    WINDOW line AS (
        PARTITION BY l.dataset, l.dataset_version, l.arm, l.purpose, l.run_id, l.category, l.item
    )
),
floored AS (
    SELECT
        * EXCLUDE (weight, total_weight), millionths * weight // total_weight AS share,
        millionths * weight % total_weight AS remainder
    FROM shared
)
SELECT
    dataset, dataset_version, arm, purpose, run_id, batch_id, category, item,
    ((share + (row_number() OVER rest <= millionths - sum(share) OVER line)::INT)::DECIMAL(24, 0) * 0.000001)::DECIMAL(18, 6)
        AS amount,
    currency, price_book, price_version, measured, simulated
FROM floored
WINDOW
    line AS (PARTITION BY dataset, dataset_version, arm, purpose, run_id, category, item),
    rest AS (
        PARTITION BY dataset, dataset_version, arm, purpose, run_id, category, item ORDER BY remainder DESC, batch_id
    );
