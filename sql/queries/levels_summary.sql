-- How many images each sensitivity level has, and how many of them only because the policy was past its date when they
-- were classified; images nobody classified yet are left out, and only readable ones are classified.
-- Params: dataset text = null
-- Grain: dataset, level
SELECT
    dataset, level, count(*) AS images_count,
    count(*) FILTER (contains(reason, 'declared:stale_policy')) AS stale_policy_count
FROM v_level
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR)
GROUP BY dataset, level
ORDER BY dataset, list_position(['public', 'internal', 'confidential', 'restricted'], level), level;
