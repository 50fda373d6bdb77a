-- Where each level may and should be prelabelled, with the reason of every option, refused ones too.
-- Params: dataset text = null
-- Grain: dataset, level, release_rule, arm
SELECT
    dataset, level, release_rule, role, arm, placement, model_id, allowed, reason, rule_id, images_count, expected_cost, currency,
    expected_review_seconds
FROM v_decision
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR)
ORDER BY dataset, list_position(['public', 'internal', 'confidential', 'restricted'], level), level, release_rule NULLS FIRST, arm;
