-- No image went to the cloud that was known to be restricted when it went, in whatever dataset, or that had no level at all.
-- Params: none
-- Grain: dataset, image_id, batch_id
SELECT DISTINCT p.dataset, p.image_id, p.batch_id, p.arm, p.outcome, coalesce(l.level, 'unknown') AS level
FROM prelabels AS p
LEFT JOIN v_level AS l USING (dataset, dataset_version, image_id)
WHERE
    p.placement = 'cloud' AND p.outcome NOT IN ('withheld', 'unreadable')
    AND (l.level IS NULL OR (l.level = 'restricted' AND l.known_at <= p.landed_at))
ORDER BY p.dataset, p.image_id, p.batch_id;
