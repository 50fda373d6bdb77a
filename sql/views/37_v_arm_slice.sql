-- Each arm's effort and cost on two slices: `all` images it had reviewed, and `paired`, reviewed under both arms.
-- A slice's machine cost is the arm's mean per image; its review cost is the seconds of the slice's own reviews.
-- Params: none
-- Grain: dataset, dataset_version, slice, arm
CREATE VIEW v_arm_slice AS
WITH effort AS (
    SELECT * FROM v_image_effort WHERE arm IN ('local', 'cloud')
),
pair AS (
    SELECT dataset, dataset_version, image_id
    FROM effort
    GROUP BY dataset, dataset_version, image_id
    HAVING count(*) = 2
),
sliced AS (
    SELECT 'all' AS slice, effort.* FROM effort
    UNION ALL
    SELECT 'paired', effort.* FROM effort SEMI JOIN pair USING (dataset, dataset_version, image_id)
),
-- a second look at an image costs too: review seconds are all reviews of the image, not only the last
spent AS (
    SELECT dataset, dataset_version, image_id, arm, sum(effort_seconds) AS review_seconds
    FROM v_review
    GROUP BY dataset, dataset_version, image_id, arm
),
summed AS (
    SELECT
        s.slice, s.dataset, s.dataset_version, s.arm,
        count(*) AS images_count,
        sum(s.labels_count)::BIGINT AS accepted_count,
        sum(s.edits_count) / greatest(1, sum(s.labels_count)) AS her,
        avg(s.active_seconds) AS active_seconds_mean,
        sum(spent.review_seconds) AS review_seconds,
        bool_or(s.simulated) AS simulated
    FROM sliced AS s
    JOIN spent USING (dataset, dataset_version, image_id, arm)
    GROUP BY s.slice, s.dataset, s.dataset_version, s.arm
),
speed AS (
    SELECT dataset, dataset_version, arm, sum(images_count) / nullif(sum(infer_seconds), 0) AS images_per_second
    FROM usage
    WHERE role IN ('chosen', 'compare') AND outcome = 'finished'
    GROUP BY dataset, dataset_version, arm
),
costed AS (
    SELECT
        s.*, t.currency, t.simulated AS cost_simulated, speed.images_per_second,
        coalesce(t.machine_cost::DOUBLE / nullif(t.images_count, 0), 0) * s.images_count
        + s.review_seconds / 3600 / p.productive_fraction * p.loaded_rate_per_hour AS slice_cost
    FROM summed AS s
    LEFT JOIN v_tco_arm AS t USING (dataset, dataset_version, arm)
    LEFT JOIN speed USING (dataset, dataset_version, arm)
    CROSS JOIN v_price AS p
)
SELECT
    slice, dataset, dataset_version, arm, images_count, accepted_count, her, active_seconds_mean,
    (slice_cost / images_count)::DECIMAL(18, 6) AS cost_per_image,
    (slice_cost / nullif(accepted_count, 0))::DECIMAL(18, 6) AS cost_per_label,
    images_per_second, currency, simulated OR coalesce(cost_simulated, false) AS simulated
FROM costed;
