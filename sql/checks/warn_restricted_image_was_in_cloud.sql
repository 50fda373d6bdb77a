-- An image went to the cloud before anybody said that it is restricted; it cannot be called back, so its owner must know.
-- Params: none
-- Grain: dataset, image_id, batch_id
SELECT DISTINCT p.dataset, p.image_id, p.batch_id, p.arm, p.landed_at AS sent_at, l.known_at
FROM prelabels AS p
JOIN v_level AS l USING (dataset, dataset_version, image_id)
WHERE
    p.placement = 'cloud' AND p.outcome NOT IN ('withheld', 'unreadable')
    AND l.level = 'restricted' AND l.known_at > p.landed_at
ORDER BY p.dataset, p.image_id, p.batch_id;
