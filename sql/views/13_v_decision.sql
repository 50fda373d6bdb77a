-- The decision that stands for each level and arm: the one made last.
-- Params: none
-- Grain: dataset, dataset_version, level, arm
CREATE VIEW v_decision AS
SELECT *
FROM decisions
QUALIFY row_number() OVER (
    PARTITION BY dataset, dataset_version, level, arm ORDER BY landed_at DESC, decision_id
) = 1;
