-- Which tables a report was made from: rows of the current dataset versions and when the last of them landed.
-- Params: dataset text = null
-- Grain: table_name
WITH landed AS (
    SELECT 'images' AS table_name, dataset, dataset_version, landed_at FROM images
    UNION ALL SELECT 'quarantine', dataset, dataset_version, landed_at FROM quarantine
    UNION ALL SELECT 'findings', dataset, dataset_version, landed_at FROM findings
    UNION ALL SELECT 'levels', dataset, dataset_version, landed_at FROM levels
    UNION ALL SELECT 'decisions', dataset, dataset_version, landed_at FROM decisions
    UNION ALL SELECT 'batches', dataset, dataset_version, landed_at FROM batches
    UNION ALL SELECT 'prelabels', dataset, dataset_version, landed_at FROM prelabels
    UNION ALL SELECT 'usage', dataset, dataset_version, started_at FROM usage
    UNION ALL SELECT 'reviews', dataset, dataset_version, landed_at FROM reviews
    UNION ALL SELECT 'edits', dataset, dataset_version, landed_at FROM edits
    UNION ALL SELECT 'quality', dataset, dataset_version, landed_at FROM quality
)
SELECT table_name, count(*) AS rows_count, max(landed_at) AS last_landed_at
FROM landed
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR)
GROUP BY table_name
ORDER BY table_name;
