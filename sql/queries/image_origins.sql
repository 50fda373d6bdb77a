-- Where each image of a dataset version comes from and how large it is: by this verdicts of pilots tell images apart.
-- Params: dataset text; dataset_version text
-- Grain: image_id
SELECT image_id, source, area_px
FROM v_origin
WHERE dataset = $dataset::VARCHAR AND dataset_version = $dataset_version::VARCHAR
ORDER BY image_id;
