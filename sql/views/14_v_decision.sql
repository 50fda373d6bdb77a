-- The decision in force for each level, release rule and arm; before the first plan, the one made last.
-- Params: none
-- Grain: dataset, dataset_version, level, release_rule, arm
CREATE VIEW v_decision AS
SELECT d.*
FROM decisions AS d
LEFT JOIN v_in_force AS f USING (dataset, dataset_version)
WHERE
    -- what was refused while a batch was done is no answer of routing, see the query `decisions`
    NOT starts_with(coalesce(d.decision_set, ''), 'refused-')
    AND (f.decision_set IS NULL OR f.decision_set = d.decision_set)
QUALIFY row_number() OVER (
    PARTITION BY d.dataset, d.dataset_version, d.level, d.release_rule, d.arm ORDER BY d.landed_at DESC, d.decision_id
) = 1;
