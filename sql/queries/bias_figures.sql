-- What the silent-bias meter found last: catch rate, anchoring excess, errors left and agreement, with 95 % intervals.
-- Those of single reviewers are in reviewer_figures.
-- Params: dataset text = null
-- Grain: dataset, measure, slice, name
SELECT dataset, measure, slice, name, value, value_low, value_high, units_count, verdict, simulated
FROM v_bias
WHERE ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR) AND slice <> 'reviewer'
ORDER BY dataset, measure, slice, name;
