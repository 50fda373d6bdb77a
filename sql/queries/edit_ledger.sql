-- Every operation of a person on a draft, one a row: what it was, how well the draft lay, and its published or learned seconds.
-- Params: dataset text = null
-- Grain: review_id, edit_id
SELECT
    dataset, dataset_version, review_id, edit_id, image_id, arm, model_id, op, predicted_label, accepted_label, score, iou, biou,
    oks, drags_count, clicks_count, vertices_count, model_seconds, scratch_seconds, lineage, redrawn, parameter_set, simulated
FROM edits
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR)
ORDER BY dataset, review_id, edit_id;
