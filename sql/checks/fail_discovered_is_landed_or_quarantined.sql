-- Every file found is either in quarantine or has an outcome, never both and never neither, and as many as were counted.
-- A version that was not planned yet is waiting, not lost, also where its ingest broke off; so is what a site keeps for the network.
-- Params: none
-- Grain: dataset, path
WITH waiting AS (
    SELECT dataset, dataset_version
    FROM runs
    GROUP BY dataset, dataset_version
    HAVING count(*) FILTER (event = 'planned') = 0
    UNION ALL
    -- a run began with the dataset and no event names the version
    SELECT i.dataset, i.dataset_version
    FROM images AS i
    SEMI JOIN runs AS r ON r.dataset = i.dataset AND r.event = 'started'
    ANTI JOIN runs AS r ON r.dataset = i.dataset AND r.dataset_version = i.dataset_version
),
filed AS (
    SELECT
        i.dataset, i.dataset_version, i.path,
        EXISTS (
            FROM quarantine AS q
            WHERE q.dataset = i.dataset AND q.dataset_version = i.dataset_version AND q.path = i.path AND coalesce(q.pointer, '') = ''
        ) AS quarantined,
        EXISTS (
            FROM v_outcome AS o
            WHERE o.dataset = i.dataset AND o.dataset_version = i.dataset_version AND o.image_id = i.image_id
            AND i.outcome = 'ok'
        ) AS landed,
        EXISTS (
            FROM v_deferred AS d
            WHERE d.dataset = i.dataset AND d.dataset_version = i.dataset_version AND d.image_id = i.image_id
            AND i.outcome = 'ok'
        ) AS deferred
    FROM images AS i
    SEMI JOIN v_current USING (dataset, dataset_version)
    ANTI JOIN waiting USING (dataset, dataset_version)
),
counted AS (
    SELECT d.dataset, max(d.discovered_count) AS discovered_count, count(DISTINCT i.path) AS files_count
    FROM datasets AS d
    SEMI JOIN v_current USING (dataset, dataset_version)
    LEFT JOIN images AS i ON i.dataset = d.dataset AND i.dataset_version = d.dataset_version
    GROUP BY d.dataset
)
SELECT
    dataset, path,
    CASE WHEN landed THEN 'landed and in quarantine' ELSE 'neither landed nor in quarantine' END AS problem
FROM filed
WHERE landed = quarantined AND (landed OR NOT deferred)
UNION ALL
SELECT dataset, NULL, discovered_count || ' files counted, ' || files_count || ' in the manifest'
FROM counted
WHERE discovered_count <> files_count
ORDER BY ALL;
