-- Which files and annotation records could not be used, and why.
-- Params: dataset text = null
-- Grain: dataset, path, pointer, reason, detail
SELECT dataset, path, pointer, reason, detail
FROM quarantine
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR)
ORDER BY dataset, path, pointer, reason, detail;
