-- Review that waits: what is asked for and nobody has reviewed, drafts of plans in force, tasks beside them that measure
-- reviewers and tasks of pilots, and the seconds expected of it (see `v_asked_review`); null where nothing is known.
-- Params: none
-- Grain: dataset, arm
SELECT
    w.dataset, w.arm,
    count(*) AS waiting_count,
    any_value(w.review_seconds) AS expected_review_seconds,
    count(*) * any_value(w.review_seconds) AS backlog_seconds
FROM v_asked_review AS w
SEMI JOIN v_current AS c ON c.dataset = w.dataset AND c.dataset_version = w.dataset_version
ANTI JOIN reviews AS r ON r.image_id = w.image_id AND r.batch_id = w.batch_id
WHERE w.in_force
GROUP BY w.dataset, w.arm
ORDER BY w.dataset, w.arm;
