-- No image went to the cloud that was known to be restricted when it went, in whatever dataset, or that had no level at all.
-- Params: none
-- Grain: dataset, image_id, batch_id
SELECT DISTINCT p.dataset, p.image_id, p.batch_id, p.arm, p.outcome, coalesce(l.level, 'unknown') AS level
FROM prelabels AS p
LEFT JOIN v_level AS l USING (dataset, dataset_version, image_id)
WHERE
    p.placement = 'cloud' AND p.outcome NOT IN ('withheld', 'unreadable')
    AND (
        l.level IS NULL
        OR (l.level = 'restricted' AND l.known_at <= p.landed_at)
        -- whatever was said later: under the policy it was sent by, it was restricted
        OR EXISTS (
            FROM levels AS said
            WHERE said.dataset = p.dataset AND said.dataset_version = p.dataset_version AND said.image_id = p.image_id
            AND said.policy_digest = p.policy_digest AND said.level = 'restricted'
        )
    )
ORDER BY p.dataset, p.image_id, p.batch_id;
