-- Dataset versions that wait as a whole: taken in, maybe not to the end, and not planned yet; or a run is at them. A run is
-- at a version from when it was started with it or planned it until it says how its prelabelling came out, ends, is called
-- off, or another takes up its rest or comes to the end of a later plan. One that died is at it until it is resumed:
-- `labelop runs` shows it open.
-- Params: none
-- Grain: dataset, dataset_version
CREATE VIEW v_waiting AS
WITH attempts AS (
    SELECT
        run_id, dataset, dataset_version,
        max(landed_at) FILTER (event IN ('started', 'planned')) AS began_at,
        bool_or(event = 'prelabelled') AS is_over
    FROM runs
    WHERE dataset_version IS NOT NULL
    GROUP BY run_id, dataset, dataset_version
),
stopped AS (
    SELECT DISTINCT run_id FROM runs WHERE event IN ('ended', 'cancelled', 'taken_up')
)
SELECT dataset, dataset_version
FROM attempts
LEFT JOIN stopped USING (run_id)
WHERE began_at IS NOT NULL AND (is_over OR stopped.run_id IS NULL)
GROUP BY dataset, dataset_version
HAVING NOT arg_max(is_over, (began_at, is_over))
UNION
SELECT dataset, dataset_version
FROM runs
WHERE dataset_version IS NOT NULL
GROUP BY dataset, dataset_version
HAVING count(*) FILTER (event = 'planned') = 0
UNION
-- a run began with the dataset and no event names the version
SELECT i.dataset, i.dataset_version
FROM images AS i
SEMI JOIN runs AS r ON r.dataset = i.dataset AND r.event = 'started'
ANTI JOIN runs AS r ON r.dataset = i.dataset AND r.dataset_version = i.dataset_version;
