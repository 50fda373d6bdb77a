-- What is in force for a dataset version: policy, decisions and plan of the newest event that names them.
-- `policy_since` is when the policy came into force without a break: an event that only repeats it changes nothing.
-- Params: none
-- Grain: dataset, dataset_version
CREATE VIEW v_in_force AS
WITH said AS (
    -- one line per event of the dataset that names a policy, in order: a change of version ends a policy's time too
    SELECT
        dataset, dataset_version, policy_digest, landed_at,
        lag((dataset_version, policy_digest)) OVER w AS before
    FROM runs
    WHERE policy_digest IS NOT NULL
    WINDOW w AS (PARTITION BY dataset ORDER BY landed_at, run_id, event)
),
began AS (
    SELECT dataset, dataset_version, policy_digest, max(landed_at) AS policy_since
    FROM said
    WHERE before IS NULL OR before <> (dataset_version, policy_digest)
    GROUP BY dataset, dataset_version, policy_digest
),
newest AS (
    SELECT
        dataset, dataset_version,
        arg_max(policy_digest, landed_at) AS policy_digest,
        arg_max(decision_set, landed_at) AS decision_set,
        arg_max(plan_id, landed_at) AS plan_id
    FROM runs
    GROUP BY dataset, dataset_version
)
SELECT newest.*, began.policy_since
FROM newest
LEFT JOIN began USING (dataset, dataset_version, policy_digest);
