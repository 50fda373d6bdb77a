-- Review that waits: drafts of the plans in force and tasks of pilots that nobody has reviewed, and the seconds expected.
-- An arm of which no decision expects seconds, as one without drafts, is taken for the longest known of its dataset, else of
-- all; null where nothing is known.
-- Params: none
-- Grain: dataset, arm
WITH waiting AS (
    SELECT dataset, dataset_version, arm, image_id, batch_id
    FROM v_prelabel
    WHERE role IN ('chosen', 'compare') AND outcome IN ('ok', 'empty')
    UNION ALL
    SELECT a.dataset, a.dataset_version, a.arm, a.image_id, a.batch_id
    FROM pilot_assignments AS a
    LEFT JOIN prelabels AS p USING (dataset_version, image_id, batch_id)
    WHERE a.arm = 'blind' OR p.outcome IN ('ok', 'empty')
),
longest AS (
    SELECT dataset, dataset_version, max(review_seconds) AS review_seconds
    FROM v_expected_review
    GROUP BY dataset, dataset_version
),
expected AS (
    SELECT
        w.*,
        coalesce(e.review_seconds, l.review_seconds, (SELECT max(review_seconds) FROM longest)) AS review_seconds
    FROM waiting AS w
    LEFT JOIN v_expected_review AS e USING (dataset, dataset_version, arm)
    LEFT JOIN longest AS l USING (dataset, dataset_version)
)
SELECT
    w.dataset, w.arm,
    count(*) AS waiting_count,
    any_value(w.review_seconds) AS expected_review_seconds,
    count(*) * any_value(w.review_seconds) AS backlog_seconds
FROM expected AS w
SEMI JOIN v_current AS c ON c.dataset = w.dataset AND c.dataset_version = w.dataset_version
ANTI JOIN reviews AS r ON r.image_id = w.image_id AND r.batch_id = w.batch_id
GROUP BY w.dataset, w.arm
ORDER BY w.dataset, w.arm;
