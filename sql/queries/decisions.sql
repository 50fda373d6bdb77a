-- Where each level may and should be prelabelled, with the reason of every option, refused ones too; and what was refused on
-- the way, when a level had been raised since or a release did not hold, counted over all batches under the policy in force.
-- `stratum` has a verdict of a pilot of its own; null for the images of all others.
-- Params: dataset text = null
-- Grain: dataset, level, release_rule, stratum, arm, model_id, rule_id
WITH refused AS (
    SELECT
        d.dataset, d.level, d.arm, d.placement, d.model_id, d.rule_id,
        regexp_replace(min(d.reason), '^.* were refused at ', 'Refused while its batch was done, at ') AS reason,
        sum(d.images_count)::BIGINT AS images_count
    FROM decisions AS d
    SEMI JOIN v_current AS c ON c.dataset = d.dataset AND c.dataset_version = d.dataset_version
    LEFT JOIN v_in_force AS f ON f.dataset = d.dataset AND f.dataset_version = d.dataset_version
    WHERE starts_with(d.decision_set, 'refused-') AND (f.policy_digest IS NULL OR f.policy_digest = d.policy_digest)
    GROUP BY d.dataset, d.level, d.arm, d.placement, d.model_id, d.rule_id
),
told AS (
    SELECT
        dataset, level, release_rule, stratum, role, arm, placement, model_id, allowed, reason, rule_id, images_count,
        expected_cost, currency, expected_review_seconds
    FROM v_decision
    SEMI JOIN v_current USING (dataset, dataset_version)
    UNION ALL BY NAME
    SELECT *, false AS allowed FROM refused
)
SELECT
    dataset, level, release_rule, stratum, role, arm, placement, model_id, allowed, reason, rule_id, images_count, expected_cost,
    currency, expected_review_seconds
FROM told
WHERE ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR)
ORDER BY dataset, list_position(['public', 'internal', 'confidential', 'restricted'], level), level, release_rule NULLS FIRST,
    stratum NULLS FIRST, arm, rule_id, model_id;
