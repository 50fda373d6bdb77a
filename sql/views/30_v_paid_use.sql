-- The attempts that cost something, in whole microseconds; what is not known of an attempt is null.
-- Of what reached no server the cloud bills nothing; its seconds were spent waiting and stay in `usage`.
-- Params: none
-- Grain: attempt_id
CREATE VIEW v_paid_use AS
SELECT
    attempt_id, dataset, dataset_version, arm, placement, run_id, batch_id, images_count, sent_bytes, received_bytes,
    CASE WHEN role IN ('chosen', 'compare', 'pilot') THEN 'work' ELSE 'evaluation' END AS purpose,
    round(
        (wall_seconds + CASE placement WHEN 'onprem' THEN coalesce(cold_start_seconds, 0) ELSE 0 END) * 1e6
    )::BIGINT AS busy_us,
    round(operator_waiting_seconds * 1e6)::BIGINT AS waiting_us,
    energy_joules,
    coalesce(requests_count, images_count) AS requests_count,
    requests_count IS NOT NULL AS requests_counted,
    simulated, started_at
FROM usage
WHERE placement <> 'cloud' OR sent_bytes IS DISTINCT FROM 0;
