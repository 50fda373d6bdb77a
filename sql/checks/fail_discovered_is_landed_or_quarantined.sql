-- Every file found is either in quarantine or has an outcome, never both and never neither, and as many as were counted.
-- A version that was not planned yet is waiting, not lost, also where its ingest broke off; so is one that a run is at, and what a
-- site keeps for the network. A run that died is at its version until it is resumed: `labelop runs` shows it open with what is left
-- of it, and `run_summary` counts the files as deferred. Once a run has said how its prelabelling came out, what is missing is lost.
-- Params: none
-- Grain: dataset, path
WITH filed AS (
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
    ANTI JOIN v_waiting USING (dataset, dataset_version)
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
