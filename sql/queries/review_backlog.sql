-- Review that waits: drafts of the plans in force that nobody has reviewed, and the seconds expected of them.
-- Params: none
-- Grain: dataset, arm
SELECT
    p.dataset, p.arm,
    count(*) AS waiting_count,
    any_value(e.review_seconds) AS expected_review_seconds,
    count(*) * coalesce(any_value(e.review_seconds), 0) AS backlog_seconds
FROM v_prelabel AS p
SEMI JOIN v_current AS c ON c.dataset = p.dataset AND c.dataset_version = p.dataset_version
ANTI JOIN reviews AS r ON r.image_id = p.image_id AND r.batch_id = p.batch_id
LEFT JOIN v_expected_review AS e ON e.dataset = p.dataset AND e.dataset_version = p.dataset_version AND e.arm = p.arm
WHERE p.role IN ('chosen', 'compare') AND p.outcome IN ('ok', 'empty')
GROUP BY p.dataset, p.arm
ORDER BY p.dataset, p.arm;
