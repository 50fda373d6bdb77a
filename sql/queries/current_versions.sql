-- Which version of each dataset its owner handed over last.
-- Params: none
-- Grain: dataset
SELECT dataset, dataset_version
FROM v_current
ORDER BY dataset;
