-- Errors that reviewers let through, as a rate of accepted labels (measures.md sections 2 and 7): what the silent-bias meter
-- found last by the errors seeded into their tasks. Where none was caught nothing is known, and null is said.
-- Params: none
-- Grain: dataset, dataset_version, arm
CREATE VIEW v_residual AS
SELECT dataset, dataset_version, name AS arm, value AS residual_rate
FROM v_bias
WHERE measure = 'residual_rate' AND slice = 'arm';
