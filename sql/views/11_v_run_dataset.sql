-- What each run was asked of each dataset, and whether that was reached: by the run itself, or since its start by another
-- one for a version that counts. That is the run's own version, asked for or taken in, by its plan or a later one; or one that
-- was handed over after it.
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
plans AS (
    SELECT run_id, dataset, dataset_version, arg_max(plan_id, landed_at) AS plan_id, max(landed_at) AS planned_at
    FROM runs
    WHERE event = 'planned'
    GROUP BY run_id, dataset, dataset_version
),
own AS (
    SELECT
        a.run_id, a.dataset, a.until, a.resumes, a.takes_in, a.started_at,
        coalesce(a.dataset_version, t.dataset_version) AS dataset_version,
        CASE WHEN a.dataset_version IS NULL THEN t.taken_at ELSE a.started_at END AS taken_at,
        p.plan_id, p.planned_at
    FROM asked AS a
    LEFT JOIN taken AS t USING (run_id, dataset)
    LEFT JOIN plans AS p
        ON p.run_id = a.run_id AND p.dataset = a.dataset AND p.dataset_version = coalesce(a.dataset_version, t.dataset_version)
),
done AS (
    SELECT r.run_id, r.dataset, r.dataset_version, r.event, r.landed_at, p.plan_id, p.planned_at
    FROM runs AS r
    LEFT JOIN plans AS p USING (run_id, dataset, dataset_version)
    WHERE r.state = 'complete'
),
reached AS (
    SELECT o.run_id, o.dataset, bool_or(d.run_id = o.run_id) AS by_itself
    FROM own AS o
    JOIN done AS d ON d.dataset = o.dataset AND d.event = o.until AND d.landed_at >= o.started_at
    -- what was done before a version was handed over again is no answer to that
    LEFT JOIN taken AS t ON t.dataset = d.dataset AND t.dataset_version = d.dataset_version AND t.taken_at <= d.landed_at
    WHERE d.run_id = o.run_id
    -- the same version by an earlier and another plan: the later one is in force, and nobody has done it
    OR (d.dataset_version = o.dataset_version AND NOT coalesce(d.plan_id <> o.plan_id AND d.planned_at < o.planned_at, false))
    OR t.taken_at > o.taken_at
    OR (o.dataset_version IS NULL AND t.looked_at >= o.started_at)
    GROUP BY o.run_id, o.dataset
)
SELECT
    o.run_id, o.dataset, o.dataset_version, o.until, o.resumes, o.takes_in, o.started_at,
    r.run_id IS NOT NULL AS reached,
    coalesce(r.by_itself, false) AS by_itself
FROM own AS o
LEFT JOIN reached AS r USING (run_id, dataset);
