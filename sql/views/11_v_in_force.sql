-- What is in force for a dataset version: policy, prices, decisions and plan of the newest event that names them.
-- Params: none
-- Grain: dataset, dataset_version
CREATE VIEW v_in_force AS
SELECT
    dataset, dataset_version,
    arg_max(policy_digest, landed_at) AS policy_digest,
    max(landed_at) FILTER (policy_digest IS NOT NULL) AS policy_since,
    arg_max(decision_set, landed_at) AS decision_set,
    arg_max(plan_id, landed_at) AS plan_id
FROM runs
GROUP BY dataset, dataset_version;
