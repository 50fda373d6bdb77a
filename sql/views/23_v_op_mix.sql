-- How often each operation happened to each class; share is of the operations of that arm and class.
-- Params: none
-- Grain: dataset, dataset_version, arm, label, op
CREATE VIEW v_op_mix AS
WITH counted AS (
    SELECT
        dataset, dataset_version, arm,
        coalesce(predicted_label, accepted_label) AS label,
        op,
        count(*) AS ops_count,
        sum(model_seconds) AS model_seconds,
        bool_or(simulated) AS simulated
    FROM edits
    SEMI JOIN v_image_effort USING (review_id)
    GROUP BY ALL
)
SELECT
    *,
    ops_count / sum(ops_count) OVER (PARTITION BY dataset, dataset_version, arm, label) AS share
FROM counted;
