-- How often each operation happened to each class; share is of the operations of that arm and class.
-- Calibrated seconds and published ones are never put into one sum: where some images of an arm have calibrated ones, its
-- seconds are of these alone, for all of its operations (`modelled_ops_count`, `modelled_by`), as in v_arm_effort.
-- Params: none
-- Grain: dataset, dataset_version, arm, label, op
CREATE VIEW v_op_mix AS
WITH counted AS (
    SELECT
        dataset, dataset_version, arm,
        coalesce(predicted_label, accepted_label) AS label,
        op,
        starts_with(parameter_set, 'calibrated-') AS learnt,
        count(*) AS ops_count,
        sum(model_seconds) AS model_seconds,
        bool_or(simulated) AS simulated
    FROM edits
    SEMI JOIN v_image_effort USING (review_id)
    GROUP BY ALL
),
judged AS (
    SELECT *, bool_or(learnt) OVER (PARTITION BY dataset, dataset_version, arm) AS any_learnt
    FROM counted
),
summed AS (
    SELECT
        dataset, dataset_version, arm, label, op,
        sum(ops_count)::BIGINT AS ops_count,
        coalesce(sum(ops_count) FILTER (learnt = any_learnt), 0)::BIGINT AS modelled_ops_count,
        -- 0 and not null where the calibrated images had none of it
        sum(CASE WHEN learnt = any_learnt THEN model_seconds ELSE 0 END) AS model_seconds,
        CASE WHEN any_learnt THEN 'calibrated' ELSE 'literature' END AS modelled_by,
        bool_or(simulated) AS simulated
    FROM judged
    GROUP BY ALL
)
SELECT
    *,
    ops_count / sum(ops_count) OVER (PARTITION BY dataset, dataset_version, arm, label) AS share
FROM summed;
