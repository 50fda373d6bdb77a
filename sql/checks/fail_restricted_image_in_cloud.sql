-- No image went to the cloud that the policy in force called restricted, or that had no level at all.
-- Params: none
-- Grain: dataset, image_id, batch_id
SELECT p.dataset, p.image_id, p.batch_id, p.arm, p.outcome, coalesce(max(l.level), 'unknown') AS level
FROM prelabels AS p
LEFT JOIN levels AS l USING (dataset, dataset_version, image_id, policy_digest)
WHERE p.placement = 'cloud' AND p.outcome NOT IN ('withheld', 'unreadable')
GROUP BY ALL
HAVING count(l.level) = 0 OR bool_or(l.level = 'restricted')
ORDER BY p.dataset, p.image_id, p.batch_id;
