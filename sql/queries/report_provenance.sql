-- What the numbers rest on: version, models, policy, price book and parameter set, by digest.
-- Params: dataset text = null
-- Grain: dataset, kind, name, digest
WITH fact AS (
    SELECT dataset, dataset_version, 'dataset version' AS kind, dataset AS name, dataset_version AS digest
    FROM v_current
    UNION
    SELECT dataset, dataset_version, 'model', model_id, model_digest FROM prelabels
    UNION
    SELECT dataset, dataset_version, 'policy', 'sensitivity policy', policy_digest FROM prelabels
    UNION
    SELECT dataset, dataset_version, 'parameter set', 'effort parameters', parameter_set FROM edits
    UNION
    SELECT v.dataset, v.dataset_version, 'price book', 'price book', p.price_book
    FROM v_current AS v CROSS JOIN v_price AS p
)
SELECT dataset, kind, name, digest
FROM fact
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR) AND digest IS NOT NULL
ORDER BY dataset, kind, name, digest;
