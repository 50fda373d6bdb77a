-- What the numbers rest on: versions, models, policies, price book and parameters by their digests, the data's age, and when
-- a site was synced last.
-- Params: dataset text = null
-- Grain: subject, dataset, name, identity
WITH run AS (
    SELECT dataset, dataset_version, max(landed_at) AS landed_at
    FROM (
        SELECT dataset, dataset_version, landed_at FROM images
        UNION ALL
        SELECT dataset, dataset_version, landed_at FROM prelabels
        UNION ALL
        SELECT dataset, dataset_version, landed_at FROM reviews
    )
    GROUP BY dataset, dataset_version
),
fact AS (
    SELECT
        'dataset version' AS subject, dataset, dataset_version, dataset AS name, dataset_version AS identity,
        'all numbers are of this version' AS detail
    FROM v_current
    UNION
    SELECT 'model', dataset, dataset_version, model_id, model_digest, 'digest over weights and cards of the arm'
    FROM prelabels
    UNION
    SELECT
        'sensitivity policy', dataset, dataset_version, 'policy.yaml', policy_digest,
        'levels and placements were decided by it'
    FROM v_in_force
    UNION
    SELECT
        'effort parameters', dataset, dataset_version, 'seconds per operation', parameter_set,
        'modelled seconds were computed with them'
    FROM edits
    UNION
    SELECT
        'price book', v.dataset, v.dataset_version, 'prices.yaml', p.price_book,
        'in force; all amounts are in ' || p.currency
    FROM v_current AS v CROSS JOIN v_price AS p
),
wanted AS (
    SELECT fact.* EXCLUDE (dataset_version)
    FROM fact
    SEMI JOIN v_current USING (dataset, dataset_version)
    WHERE fact.identity IS NOT NULL AND ($dataset::VARCHAR IS NULL OR fact.dataset = $dataset::VARCHAR)
    UNION ALL
    SELECT
        'data as of', NULL, 'last landed', left(max(landed_at)::VARCHAR, 19) || ' UTC', 'newest row behind these numbers'
    FROM run
    SEMI JOIN v_current USING (dataset, dataset_version)
    WHERE ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR)
    HAVING count(*) > 0
    UNION ALL
    SELECT
        'last sync', NULL, site, left(max(landed_at)::VARCHAR, 19) || ' UTC',
        'what a site landed since is not at head office; ' || arg_max(waiting_count, landed_at) || ' items waited after it'
    FROM syncs
    GROUP BY site
)
SELECT subject, dataset, name, identity, detail
FROM wanted
ORDER BY dataset NULLS FIRST, subject, name, identity;
