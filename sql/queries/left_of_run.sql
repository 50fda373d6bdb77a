-- What a run was asked to do and nobody has done since, with the version to go on with.
-- No version: the run took none in, or another has been handed over since, and what counts is to be taken in first.
-- Params: run text
-- Grain: dataset
SELECT a.dataset, CASE WHEN NOT a.takes_in OR a.dataset_version = c.dataset_version THEN a.dataset_version END AS dataset_version
FROM v_run_dataset AS a
LEFT JOIN v_current AS c ON c.dataset = a.dataset
WHERE a.run_id = $run::VARCHAR AND NOT a.reached
ORDER BY a.dataset;
