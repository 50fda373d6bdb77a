-- What happened to every file found: its path, its place in quarantine, its outcome, or that it waits.
-- Params: dataset text = null
-- Grain: dataset, path
SELECT i.dataset, i.path, i.image_id, coalesce(o.outcome, CASE WHEN i.outcome <> 'ok' THEN i.outcome WHEN d.image_id IS NOT NULL THEN 'deferred' ELSE 'not landed' END) AS outcome, o.arm, o.placement, q.reason
FROM images AS i
SEMI JOIN v_current USING (dataset, dataset_version)
LEFT JOIN v_outcome AS o ON i.outcome = 'ok' AND o.dataset = i.dataset
    AND o.dataset_version = i.dataset_version AND o.image_id = i.image_id
LEFT JOIN v_deferred AS d ON d.dataset = i.dataset AND d.dataset_version = i.dataset_version AND d.image_id = i.image_id
LEFT JOIN (
    SELECT dataset, dataset_version, path, min(reason) AS reason
    FROM quarantine WHERE coalesce(pointer, '') = '' GROUP BY dataset, dataset_version, path
) AS q ON q.dataset = i.dataset AND q.dataset_version = i.dataset_version AND q.path = i.path
WHERE ($dataset::VARCHAR IS NULL OR i.dataset = $dataset::VARCHAR)
ORDER BY i.dataset, i.path;
