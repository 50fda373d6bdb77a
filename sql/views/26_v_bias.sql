-- The figures of the silent-bias meter that count: of each dataset's current version those that were computed last.
-- Params: none
-- Grain: dataset, measure, slice, name
CREATE VIEW v_bias AS
SELECT *
FROM bias_figures
SEMI JOIN v_current USING (dataset, dataset_version)
QUALIFY figure_set = first_value(figure_set) OVER (
    PARTITION BY dataset, dataset_version ORDER BY landed_at DESC, figure_set
);
