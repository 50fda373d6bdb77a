-- What each run was asked of each dataset, and whether that was reached: by the run itself, or since its start by another
-- one for a version that counts. That is the run's own version, asked for or taken in, or one that was handed over after it.
-- For a run that took nothing in it is a version that was looked for since: what an older run found it cannot have been asked for.
-- Params: none
-- Grain: run_id, dataset
CREATE VIEW v_run_dataset AS
WITH asked AS (
    SELECT
        run_id, dataset, dataset_version,
        json_extract_string(summary, '$.until') AS until,
        json_extract_string(summary, '$.resumes') AS resumes,
        json_extract_string(summary, '$.job') IS NOT NULL AS takes_in,
        min(landed_at) OVER (PARTITION BY run_id) AS started_at
    FROM runs
    WHERE event = 'started'
),
taken AS (
    SELECT r.run_id, r.dataset, r.dataset_version, r.landed_at AS taken_at, coalesce(a.started_at, r.landed_at) AS looked_at
    FROM runs AS r
    LEFT JOIN asked AS a USING (run_id, dataset)
    WHERE r.event = 'ingested'
),
newest AS (
    -- going back to an earlier version is a newer word too
    SELECT dataset, dataset_version, max(taken_at) AS taken_at, max(looked_at) AS looked_at
    FROM taken
    GROUP BY dataset, dataset_version
),
own AS (
    SELECT
        a.run_id, a.dataset, a.until, a.resumes, a.takes_in, a.started_at,
        coalesce(a.dataset_version, t.dataset_version) AS dataset_version,
        CASE WHEN a.dataset_version IS NULL THEN t.taken_at ELSE a.started_at END AS taken_at
    FROM asked AS a
    LEFT JOIN taken AS t USING (run_id, dataset)
),
reached AS (
    SELECT o.run_id, o.dataset, bool_or(r.run_id = o.run_id) AS by_itself
    FROM own AS o
    JOIN runs AS r ON r.dataset = o.dataset AND r.event = o.until AND r.state = 'complete' AND r.landed_at >= o.started_at
    LEFT JOIN newest AS n ON n.dataset = r.dataset AND n.dataset_version = r.dataset_version
    WHERE r.run_id = o.run_id OR r.dataset_version = o.dataset_version OR n.taken_at > o.taken_at
    OR (o.dataset_version IS NULL AND n.looked_at >= o.started_at)
    GROUP BY o.run_id, o.dataset
)
SELECT
    o.run_id, o.dataset, o.dataset_version, o.until, o.resumes, o.takes_in, o.started_at,
    r.run_id IS NOT NULL AS reached,
    coalesce(r.by_itself, false) AS by_itself
FROM own AS o
LEFT JOIN reached AS r USING (run_id, dataset);
