-- Review that came in on each day between the first and the last of it, drafts, tasks that measure reviewers and tasks of
-- pilots: images, and the seconds expected of them (see `v_asked_review`). Seconds are null where they are not known of some:
-- `unknown_count` says of how many.
-- `service_cv2` is the squared coefficient of variation of the seconds of all reviews so far that are of the best source
-- (see v_image_effort), `service_count` how many these are; null below two of them.
-- Params: none
-- Grain: day
WITH came AS (
    SELECT
        landed_at::DATE AS day, count(*) AS images_count, count(*) - count(review_seconds) AS unknown_count,
        sum(review_seconds) AS known_seconds
    FROM v_asked_review
    GROUP BY landed_at::DATE
),
calendar AS (
    SELECT unnest(generate_series(min(day)::TIMESTAMP, max(day)::TIMESTAMP, INTERVAL 1 DAY))::DATE AS day FROM came
),
service AS (
    SELECT count(*) AS service_count, var_samp(effort_seconds) / nullif(avg(effort_seconds) ** 2, 0) AS service_cv2
    FROM v_image_effort
    WHERE source_rank = (SELECT min(source_rank) FROM v_image_effort)
)
SELECT
    day, coalesce(images_count, 0)::BIGINT AS images_count,
    CASE WHEN unknown_count > 0 THEN NULL ELSE coalesce(known_seconds, 0) END::DOUBLE AS review_seconds,
    coalesce(unknown_count, 0)::BIGINT AS unknown_count,
    service_cv2, service_count
FROM calendar
LEFT JOIN came USING (day)
CROSS JOIN service
ORDER BY day;
