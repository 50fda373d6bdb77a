-- Runs, newest first: what each was asked, how it ended, how much of it nobody has done yet, and which engines ran where.
-- state: open (runs or died) | superseded (did not say how it ended, and others did what was left since) | complete | partial |
-- cancelled; left_count > 0 is what `labelop resume` would do. Of an open run with nothing left the report and the accounting are.
-- Params: run text = null
-- Grain: run_id
WITH asked AS (
    SELECT * FROM v_run_dataset
),
last_ended AS (
    SELECT a.dataset, max(a.started_at) AS started_at
    FROM asked AS a
    SEMI JOIN (SELECT run_id FROM runs WHERE event = 'ended' AND state <> 'cancelled') AS r USING (run_id)
    GROUP BY a.dataset
),
plans AS (
    SELECT DISTINCT run_id, plan_id FROM runs WHERE event = 'planned'
),
waiting AS (
    SELECT p.run_id, count(DISTINCT b.batch_id) AS missing_batches_count
    FROM plans AS p
    JOIN batches AS b USING (plan_id)
    ANTI JOIN prelabels AS l ON l.batch_id = b.batch_id
    GROUP BY p.run_id
),
said AS (
    SELECT
        run_id,
        bool_or(event = 'cancelled') AS cancelled,
        bool_or(event = 'ended' AND state = 'complete') AS complete,
        bool_or(event = 'ended') AS ended,
        bool_or(event = 'prelabelled' AND state = 'partial') AS missed,
        max(landed_at) AS last_event_at
    FROM runs
    GROUP BY run_id
),
landed AS (
    SELECT run_id, max(landed_at) AS last_landed_at FROM prelabels GROUP BY run_id
),
used AS (
    SELECT run_id, string_agg(DISTINCT concat_ws(' on ', engine, device), ', ' ORDER BY concat_ws(' on ', engine, device)) AS engines
    FROM usage
    GROUP BY run_id
),
resumed AS (
    SELECT resumes AS run_id, arg_max(run_id, started_at) AS resumed_by
    FROM asked
    WHERE resumes IS NOT NULL
    GROUP BY resumes
)
SELECT
    a.run_id,
    CASE
        WHEN any_value(s.complete) THEN 'complete'
        WHEN any_value(s.cancelled) THEN 'cancelled'
        WHEN any_value(s.ended) THEN 'partial'
        -- a night knows how it ended when its report and its accounting are done: its own, or a later night's; who takes up its rest does these too
        WHEN bool_or(a.until = 'finished' OR a.resumes IS NOT NULL) THEN CASE
            WHEN bool_and(a.reached AND (u.resumed_by IS NOT NULL OR coalesce(e.started_at > a.started_at, false)))
                THEN 'superseded'
            ELSE 'open'
        END
        WHEN bool_and(a.by_itself) THEN 'complete'
        WHEN bool_and(a.until = 'prelabelled') AND any_value(s.missed) THEN 'partial'
        WHEN bool_and(a.reached) THEN 'superseded'
        ELSE 'open'
    END AS state,
    any_value(a.started_at) AS started_at,
    greatest(any_value(s.last_event_at), any_value(l.last_landed_at)) AS last_seen_at,
    count(*) AS datasets_count,
    count(*) FILTER (NOT a.reached) AS left_count,
    coalesce(any_value(w.missing_batches_count), 0) AS missing_batches_count,
    min(a.resumes) AS resumes,
    any_value(u.resumed_by) AS resumed_by,
    any_value(g.engines) AS engines
FROM asked AS a
JOIN said AS s ON s.run_id = a.run_id
LEFT JOIN waiting AS w ON w.run_id = a.run_id
LEFT JOIN landed AS l ON l.run_id = a.run_id
LEFT JOIN resumed AS u ON u.run_id = a.run_id
LEFT JOIN used AS g ON g.run_id = a.run_id
LEFT JOIN last_ended AS e ON e.dataset = a.dataset
WHERE ($run::VARCHAR IS NULL OR a.run_id = $run::VARCHAR)
GROUP BY a.run_id
ORDER BY started_at DESC, a.run_id;
