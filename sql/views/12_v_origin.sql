-- Where each distinct readable image of a dataset version comes from, and its pixels: known before anything is drafted.
-- `source` is the first folder of its path, the first by name where the same image is in several; a dot for none.
-- Params: none
-- Grain: dataset, dataset_version, image_id
CREATE VIEW v_origin AS
SELECT
    dataset, dataset_version, image_id, max(width_px * height_px) AS area_px,
    CASE WHEN contains(min(path), '/') THEN split_part(min(path), '/', 1) ELSE '.' END AS source
FROM images
WHERE outcome = 'ok'
GROUP BY dataset, dataset_version, image_id;
