-- What the silent-bias meter found last of each reviewer: the share of seeded errors they caught, with its 95 % interval.
-- For those who answer for labels, and never for pay.
-- Params: dataset text = null
-- Grain: dataset, measure, reviewer
-- Needs: compare reviewers
SELECT dataset, measure, name AS reviewer, value, value_low, value_high, units_count, verdict, simulated
FROM v_bias
WHERE ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR) AND slice = 'reviewer'
ORDER BY dataset, measure, reviewer;
