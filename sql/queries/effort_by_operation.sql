-- Which corrections each class needed; share is of the operations of that arm and class.
-- Seconds are of calibrated images alone in an arm that has some: `modelled_ops_count` operations (see `v_op_mix`).
-- With models_only, labels that no model has are counted together: a person or a source may have written anything there.
-- Params: dataset text = null; models_only boolean = false
-- Grain: dataset, arm, label, op
WITH known AS (
    SELECT unnest(classes) AS label FROM cards
    UNION
    SELECT predicted_label FROM edits WHERE predicted_label IS NOT NULL
),
mix AS (
    SELECT
        dataset, arm,
        CASE WHEN $models_only::BOOLEAN AND label NOT IN (SELECT label FROM known) THEN 'other labels' ELSE label END AS label,
        op, sum(ops_count) AS ops_count, sum(modelled_ops_count) AS modelled_ops_count, sum(model_seconds) AS model_seconds,
        modelled_by, bool_or(simulated) AS simulated
    FROM v_op_mix
    SEMI JOIN v_current USING (dataset, dataset_version)
    WHERE ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR)
    GROUP BY ALL
)
SELECT
    dataset, arm, label, op, ops_count::BIGINT AS ops_count,
    ops_count / sum(ops_count) OVER (PARTITION BY dataset, arm, label) AS share,
    model_seconds, modelled_ops_count::BIGINT AS modelled_ops_count, modelled_by, simulated
FROM mix
ORDER BY dataset, arm, label, op;
