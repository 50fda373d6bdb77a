-- Review that came in on each day between the first and the last draft: images, and the seconds expected of them.
-- `service_cv2` is the squared coefficient of variation of the seconds of all reviews so far; null below two of them.
-- Params: none
-- Grain: day
WITH came AS (
    SELECT
        p.landed_at::DATE AS day, count(*) AS images_count, sum(coalesce(e.review_seconds, 0)) AS review_seconds
    FROM prelabels AS p
    LEFT JOIN v_expected_review AS e USING (dataset, dataset_version, arm)
    WHERE p.role IN ('chosen', 'compare') AND p.outcome IN ('ok', 'empty')
    GROUP BY p.landed_at::DATE
),
calendar AS (
    SELECT unnest(generate_series(min(day)::TIMESTAMP, max(day)::TIMESTAMP, INTERVAL 1 DAY))::DATE AS day FROM came
)
SELECT
    day, coalesce(images_count, 0)::BIGINT AS images_count, coalesce(review_seconds, 0)::DOUBLE AS review_seconds,
    (SELECT var_samp(effort_seconds) / nullif(avg(effort_seconds) ** 2, 0) FROM v_image_effort) AS service_cv2
FROM calendar
LEFT JOIN came USING (day)
ORDER BY day;
