-- How many files and annotation records could not be used, by reason; names and details are in quarantine_list.
-- Params: dataset text = null
-- Grain: dataset, reason
SELECT
    dataset, reason,
    count(*) FILTER (coalesce(pointer, '') = '') AS files_count,
    count(*) FILTER (coalesce(pointer, '') <> '') AS records_count
FROM quarantine
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR)
GROUP BY dataset, reason
ORDER BY dataset, reason;
