-- Every attempt with what it used, stage by stage; `queue_seconds` runs from the newest plan before it to its first second.
-- Stages: getting ready, waiting for originals, passes, of these inside the engine and in the detector.
-- Params: dataset text = null
-- Grain: attempt_id
WITH planned AS (
    SELECT dataset, dataset_version, landed_at FROM runs WHERE event = 'planned'
),
queued AS (
    SELECT u.attempt_id, max(p.landed_at) AS planned_at
    FROM usage AS u
    JOIN planned AS p
        ON p.dataset = u.dataset AND p.dataset_version = u.dataset_version AND p.landed_at <= u.started_at
    GROUP BY u.attempt_id
)
SELECT
    u.dataset, u.dataset_version, u.arm, u.role, u.placement, u.run_id, u.batch_id, u.attempt_id, u.started_at, u.outcome, u.device, u.images_count,
    greatest(epoch(u.started_at - q.planned_at) - coalesce(u.cold_start_seconds, 0), 0) AS queue_seconds,
    u.cold_start_seconds, u.wall_seconds - u.busy_seconds AS input_seconds, u.busy_seconds, u.infer_seconds,
    u.detector_seconds, u.wall_seconds, u.operator_waiting_seconds, u.energy_joules,
    u.energy_joules IS NOT NULL AS energy_measured, coalesce(u.energy_source, u.energy_reason) AS energy_told_by,
    u.sent_bytes, u.received_bytes, u.requests_count, u.simulated
FROM usage AS u
LEFT JOIN queued AS q USING (attempt_id)
WHERE ($dataset::VARCHAR IS NULL OR u.dataset = $dataset::VARCHAR)
ORDER BY u.started_at, u.attempt_id;
