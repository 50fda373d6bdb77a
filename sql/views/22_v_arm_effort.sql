-- Correction effort of an arm: sums over its images, not means of rates.
-- HER = sum E / max(1, sum n_final), saving = 1 - sum T_model / sum T_scratch (measures.md section 7).
-- Params: none
-- Grain: dataset, dataset_version, arm, model_id
CREATE VIEW v_arm_effort AS
SELECT
    dataset, dataset_version, arm, model_id,
    count(*) AS images_count,
    sum(predictions_count)::BIGINT AS predictions_count,
    sum(labels_count)::BIGINT AS labels_count,
    sum(edits_count)::BIGINT AS edits_count,
    sum(edits_count) / greatest(1, sum(labels_count)) AS her,
    sum(accepts_count) / nullif(sum(predictions_count), 0) AS accept_rate,
    avg(active_seconds) AS active_seconds_mean,
    avg(model_seconds) AS model_seconds_mean,
    avg(scratch_seconds) AS scratch_seconds_mean,
    1 - sum(model_seconds) / nullif(sum(scratch_seconds), 0) AS saving,
    CASE
        WHEN bool_and(effort_source = 'measured') THEN 'measured'
        WHEN bool_or(effort_source = 'measured') THEN 'mixed'
        ELSE 'literature'
    END AS effort_source,
    bool_or(simulated) AS simulated
FROM v_image_effort
GROUP BY dataset, dataset_version, arm, model_id;
