-- Review that waits: what is asked for and nobody has reviewed, drafts of plans in force, tasks beside them that measure
-- reviewers and tasks of pilots, of earlier versions too, and the seconds expected of it (see `v_asked_review`); null where nothing is known.
-- Params: none
-- Grain: dataset, arm
SELECT
    w.dataset, w.arm,
    count(*) AS waiting_count,
    avg(w.review_seconds) AS expected_review_seconds,
    sum(w.review_seconds) AS backlog_seconds
FROM v_asked_review AS w
ANTI JOIN reviews AS r ON r.image_id = w.image_id AND r.batch_id = w.batch_id
WHERE w.in_force AND (w.piloted OR (w.dataset, w.dataset_version) IN (SELECT (c.dataset, c.dataset_version) FROM v_current AS c))
GROUP BY w.dataset, w.arm
ORDER BY w.dataset, w.arm;
