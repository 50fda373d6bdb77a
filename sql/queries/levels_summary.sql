-- How many images each sensitivity level has; images nobody classified yet are left out.
-- Params: dataset text = null
-- Grain: dataset, level
SELECT dataset, level, count(*) AS images_count
FROM v_image
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR) AND level IS NOT NULL
GROUP BY dataset, level
ORDER BY dataset, list_position(['public', 'internal', 'confidential', 'restricted'], level), level;
