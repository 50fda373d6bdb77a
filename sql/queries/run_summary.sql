-- Whether every file found is accounted for, per dataset: discovered = landed + quarantined + deferred.
-- Deferred files wait for a first prelabelling, for a run that is at them, for reviewers, or at a site for the network. Files are counted, so a duplicate counts at each of its places; landed = ok + empty + failed + withheld + unreadable.
-- Params: dataset text = null
-- Grain: dataset
WITH found AS (
    SELECT dataset, dataset_version, count(*) AS files_count, count(*) FILTER (quarantined) AS quarantined_count
    FROM (
        SELECT dataset, dataset_version, path, bool_or(outcome = 'quarantined') AS quarantined
        FROM images
        GROUP BY dataset, dataset_version, path
    )
    GROUP BY dataset, dataset_version
),
counted AS (
    SELECT dataset, dataset_version, max(discovered_count) AS discovered_count
    FROM datasets
    GROUP BY dataset, dataset_version
),
landed AS (
    SELECT
        i.dataset, i.dataset_version,
        count(*) AS landed_count,
        count(*) FILTER (o.outcome = 'ok') AS ok_count,
        count(*) FILTER (o.outcome = 'empty') AS empty_count,
        count(*) FILTER (o.outcome = 'failed') AS failed_count,
        count(*) FILTER (o.outcome = 'withheld') AS withheld_count,
        count(*) FILTER (o.outcome = 'unreadable') AS unreadable_count,
        bool_or(o.simulated) AS simulated
    FROM images AS i
    JOIN v_outcome AS o USING (dataset, dataset_version, image_id)
    WHERE i.outcome = 'ok'
    GROUP BY i.dataset, i.dataset_version
),
deferred AS (
    SELECT i.dataset, i.dataset_version, count(*) AS deferred_count
    FROM images AS i
    SEMI JOIN v_deferred USING (dataset, dataset_version, image_id)
    WHERE i.outcome = 'ok'
    GROUP BY i.dataset, i.dataset_version
),
reviewed AS (
    SELECT dataset, dataset_version, count(DISTINCT image_id) AS reviewed_count, bool_or(simulated) AS simulated
    FROM reviews
    WHERE arm <> 'import'
    GROUP BY dataset, dataset_version
)
SELECT
    dataset, dataset_version,
    coalesce(counted.discovered_count, found.files_count) AS discovered_count,
    coalesce(landed.landed_count, 0) AS landed_count,
    found.quarantined_count,
    coalesce(deferred.deferred_count, 0) AS deferred_count,
    coalesce(landed.ok_count, 0) AS ok_count,
    coalesce(landed.empty_count, 0) AS empty_count,
    coalesce(landed.failed_count, 0) AS failed_count,
    coalesce(landed.withheld_count, 0) AS withheld_count,
    coalesce(landed.unreadable_count, 0) AS unreadable_count,
    coalesce(reviewed.reviewed_count, 0) AS reviewed_count,
    coalesce(landed.simulated, false) OR coalesce(reviewed.simulated, false) AS simulated
FROM v_current
JOIN found USING (dataset, dataset_version)
LEFT JOIN counted USING (dataset, dataset_version)
LEFT JOIN landed USING (dataset, dataset_version)
LEFT JOIN deferred USING (dataset, dataset_version)
LEFT JOIN reviewed USING (dataset, dataset_version)
WHERE ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR)
ORDER BY dataset;
