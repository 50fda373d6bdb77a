-- The decision in force for each level, release rule, stratum and arm; before the first plan, of those made together last.
-- Params: none
-- Grain: dataset, dataset_version, level, release_rule, stratum, arm
CREATE VIEW v_decision AS
WITH routed AS (
    -- what was refused while a batch was done is no answer of routing, see the query `decisions`
    FROM decisions WHERE NOT starts_with(coalesce(decision_set, ''), 'refused-')
),
newest AS (
    SELECT dataset, dataset_version, arg_max(decision_set, landed_at) AS decision_set
    FROM routed
    GROUP BY dataset, dataset_version
)
SELECT d.*
FROM routed AS d
JOIN newest AS n USING (dataset, dataset_version)
LEFT JOIN v_in_force AS f USING (dataset, dataset_version)
WHERE d.decision_set IS NOT DISTINCT FROM coalesce(f.decision_set, n.decision_set)
QUALIFY row_number() OVER (
    PARTITION BY d.dataset, d.dataset_version, d.level, d.release_rule, d.stratum, d.arm ORDER BY d.landed_at DESC, d.decision_id
) = 1;
