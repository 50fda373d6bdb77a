-- Label sets that were released, newest first.
-- Params: dataset text = null
-- Grain: label_set_id
SELECT
    label_set_id, dataset, dataset_version, images_count, labels_count, left_out_count, simulated, released_by,
    landed_at AS released_at, manifest_digest
FROM label_sets
WHERE $dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR
ORDER BY released_at DESC, label_set_id;
