-- The level that counts for each image of a dataset version, and the policy it was found under.
-- Params: dataset text; dataset_version text
-- Grain: image_id
SELECT image_id, own_level, level, policy_digest
FROM v_level
WHERE dataset = $dataset::VARCHAR AND dataset_version = $dataset_version::VARCHAR
ORDER BY image_id;
