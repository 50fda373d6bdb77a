-- What the silent-bias meter found last: catch rate, anchoring excess, errors left and agreement, with 95 % intervals.
-- With reviewers, the catch rate of each as well: for those who answer for labels, never for pay.
-- Params: dataset text = null; reviewers boolean = false
-- Grain: dataset, measure, slice, name
SELECT dataset, measure, slice, name, value, value_low, value_high, units_count, verdict, simulated
FROM bias_figures
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR) AND ($reviewers::BOOLEAN OR slice <> 'reviewer')
QUALIFY figure_set = first_value(figure_set) OVER (
    PARTITION BY dataset, dataset_version ORDER BY landed_at DESC, figure_set
)
ORDER BY dataset, measure, slice, name;
