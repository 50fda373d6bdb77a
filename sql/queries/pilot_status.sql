-- How far each pilot is, per arm: reviews asked for, drafts landed, reviews that came, and those with a measured time.
-- `ended` is null while it goes on; over: it is judged without what is missing; stopped: nothing follows from it.
-- Params: dataset text = null
-- Grain: dataset, pilot, arm
WITH declared AS (
    SELECT pilot_id, name AS pilot, dataset, dataset_version, count(*) - 1 AS changes_count, min(landed_at) AS declared_at
    FROM pilots
    GROUP BY ALL
),
ended AS (
    -- of both kinds the one that says more
    SELECT pilot_id, max(kind) AS ended FROM pilot_ends GROUP BY pilot_id
),
came AS (
    SELECT dataset_version, image_id, batch_id, bool_or(looks_seconds IS NOT NULL) AS measured, bool_or(simulated) AS simulated
    FROM v_review
    WHERE approved
    GROUP BY dataset_version, image_id, batch_id
)
SELECT
    d.dataset, d.pilot, a.arm, d.pilot_id,
    count(*) AS asked_count,
    count(*) FILTER (a.arm = 'blind' OR p.outcome IN ('ok', 'empty')) AS ready_count,
    count(c.image_id) AS reviewed_count,
    count(*) FILTER (c.measured) AS measured_count,
    count(DISTINCT a.reviewer) AS reviewers_count,
    d.changes_count, d.declared_at, e.ended,
    coalesce(bool_or(c.simulated), false) OR coalesce(bool_or(p.simulated), false) AS simulated
FROM declared AS d
JOIN pilot_assignments AS a USING (pilot_id, dataset_version)
LEFT JOIN came AS c USING (dataset_version, image_id, batch_id)
LEFT JOIN prelabels AS p USING (dataset_version, image_id, batch_id)
LEFT JOIN ended AS e USING (pilot_id)
WHERE ($dataset::VARCHAR IS NULL OR d.dataset = $dataset::VARCHAR)
GROUP BY d.dataset, d.pilot, a.arm, d.pilot_id, d.changes_count, d.declared_at, e.ended
ORDER BY d.dataset, d.pilot, a.arm;
