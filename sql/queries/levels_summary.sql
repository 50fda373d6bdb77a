-- How many images each sensitivity level has, and how many of them only because the policy was past its date when they
-- were classified; images nobody classified yet are left out.
-- Params: dataset text = null
-- Grain: dataset, level
SELECT
    i.dataset, i.level, count(*) AS images_count,
    count(*) FILTER (contains(l.reason, 'declared:stale_policy')) AS stale_policy_count
FROM v_image AS i
SEMI JOIN v_current AS c ON c.dataset = i.dataset AND c.dataset_version = i.dataset_version
JOIN v_level AS v USING (dataset, dataset_version, image_id)
JOIN levels AS l
    ON l.dataset = i.dataset AND l.dataset_version = i.dataset_version AND l.image_id = i.image_id
    AND l.policy_digest = v.policy_digest
WHERE ($dataset::VARCHAR IS NULL OR i.dataset = $dataset::VARCHAR) AND i.level IS NOT NULL
GROUP BY i.dataset, i.level
ORDER BY i.dataset, list_position(['public', 'internal', 'confidential', 'restricted'], i.level), i.level;
