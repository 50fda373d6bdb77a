-- Which corrections each class needed; share is of the operations of that arm and class.
-- Params: dataset text = null
-- Grain: dataset, arm, label, op
SELECT dataset, arm, label, op, ops_count, share, model_seconds, simulated
FROM v_op_mix
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR)
ORDER BY dataset, arm, label, op;
