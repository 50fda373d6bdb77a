-- Correction effort of one image in one arm, by its last approved review.
-- HER = E / max(1, n_final), accept rate = accept / n_pred, saving = 1 - T_model / T_scratch (measures.md section 7).
-- Params: none
-- Grain: dataset, dataset_version, image_id, arm
CREATE VIEW v_image_effort AS
SELECT
    dataset, dataset_version, image_id, arm, model_id, review_id, predictions_count, labels_count, accepts_count,
    edits_count,
    edits_count / greatest(1, labels_count) AS her,
    accepts_count / nullif(predictions_count, 0) AS accept_rate,
    active_seconds, model_seconds, scratch_seconds, effort_seconds,
    1 - model_seconds / nullif(scratch_seconds, 0) AS saving,
    effort_source, modelled_by, simulated
FROM v_review
WHERE is_last;
