-- Each arm's effort and cost on two slices: `all` images it had reviewed, and `paired`, reviewed under both arms.
-- A slice's machine cost is the arm's mean per image; its review cost is what all its own reviews were paid, whatever tells
-- their seconds (v_cost_line names it). `active_seconds_mean` is of the `measured_count` images that were measured alone, as in
-- v_image_effort.
-- Params: none
-- Grain: dataset, dataset_version, slice, arm
CREATE VIEW v_arm_slice AS
WITH effort AS (
    -- a second look at an image costs too: review seconds are all reviews of the image, not only the last
    SELECT
        dataset, dataset_version, image_id, arm,
        max(labels_count) FILTER (is_last) AS labels_count,
        max(edits_count) FILTER (is_last) AS edits_count,
        max(looks_seconds) FILTER (is_last) AS active_seconds,
        sum(effort_seconds) AS review_seconds,
        bool_or(simulated) FILTER (is_last) AS simulated
    FROM v_review
    WHERE arm IN ('local', 'cloud')
    GROUP BY dataset, dataset_version, image_id, arm
    HAVING bool_or(is_last)
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
summed AS (
    SELECT
        slice, dataset, dataset_version, arm,
        count(*) AS images_count,
        sum(labels_count)::BIGINT AS accepted_count,
        sum(edits_count) / greatest(1, sum(labels_count)) AS her,
        avg(active_seconds) AS active_seconds_mean,
        count(active_seconds) AS measured_count,
        sum(review_seconds) AS review_seconds,
        bool_or(simulated) AS simulated
    FROM sliced
    GROUP BY slice, dataset, dataset_version, arm
),
speed AS (
    SELECT dataset, dataset_version, arm, sum(images_count) / nullif(sum(infer_seconds), 0) AS images_per_second
    FROM usage
    WHERE role IN ('chosen', 'compare', 'pilot') AND outcome = 'finished'
    GROUP BY dataset, dataset_version, arm
),
costed AS (
    SELECT
        s.*, t.currency, t.price_version, t.simulated AS cost_simulated, speed.images_per_second,
        coalesce(t.machine_cost::DOUBLE / nullif(t.images_count, 0), 0) * s.images_count
        + s.review_seconds / 3600 / p.productive_fraction * p.loaded_rate_per_hour AS slice_cost
    FROM summed AS s
    LEFT JOIN v_tco_arm AS t USING (dataset, dataset_version, arm)
    LEFT JOIN speed USING (dataset, dataset_version, arm)
    CROSS JOIN v_price AS p
)
SELECT
    slice, dataset, dataset_version, arm, images_count, accepted_count, her, active_seconds_mean, measured_count,
    (slice_cost / images_count)::DECIMAL(18, 6) AS cost_per_image,
    (slice_cost / nullif(accepted_count, 0))::DECIMAL(18, 6) AS cost_per_label,
    images_per_second, currency, price_version, simulated OR coalesce(cost_simulated, false) AS simulated
FROM costed;
COMMENT ON VIEW v_arm_slice IS 'CREATE TEMP TABLE v_arm_slice AS FROM v_arm_slice';
