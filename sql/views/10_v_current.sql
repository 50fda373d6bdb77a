-- Which version of each dataset is the newest; every query reads this version only.
-- Params: none
-- Grain: dataset
CREATE VIEW v_current AS
SELECT dataset, dataset_version
FROM images
GROUP BY dataset, dataset_version
QUALIFY row_number() OVER (PARTITION BY dataset ORDER BY max(landed_at) DESC, dataset_version DESC) = 1;
