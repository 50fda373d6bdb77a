-- Errors that reviewers let through, by the errors seeded into their tasks: E_res = fixed_real * (1 / catch - 1), as a rate
-- of accepted labels; measures.md sections 2 and 7. Without a reviewed seed nothing is known, and null is said.
-- Params: none
-- Grain: dataset, dataset_version, arm
CREATE VIEW v_residual AS
WITH seeded AS (
    SELECT
        r.dataset, r.dataset_version, r.arm, s.seed_id,
        bool_or(CASE s.kind
            WHEN 'missing_object' THEN e.op = 'add'
            ELSE e.prediction_id = s.prediction_id AND e.op <> 'accept'
        END) AS caught
    FROM bias_seeds AS s
    JOIN reviews AS r USING (dataset_version, image_id, batch_id)
    LEFT JOIN edits AS e USING (review_id)
    GROUP BY ALL
),
caught AS (
    SELECT
        dataset, dataset_version, arm, count(*) AS seeded_count,
        count(*) FILTER (caught) AS caught_count
    FROM seeded
    GROUP BY ALL
),
fixed AS (
    SELECT
        dataset, dataset_version, arm, sum(edits_count)::BIGINT AS fixed_count, sum(labels_count)::BIGINT AS accepted_count
    FROM v_image_effort
    GROUP BY ALL
)
SELECT
    f.*, coalesce(c.seeded_count, 0) AS seeded_count, coalesce(c.caught_count, 0) AS caught_count,
    c.caught_count / c.seeded_count AS catch_rate,
    f.fixed_count * (c.seeded_count / nullif(c.caught_count, 0) - 1) AS residual_count,
    f.fixed_count * (c.seeded_count / nullif(c.caught_count, 0) - 1) / nullif(f.accepted_count, 0) AS residual_rate
FROM fixed AS f
LEFT JOIN caught AS c USING (dataset, dataset_version, arm);
COMMENT ON VIEW v_residual IS 'CREATE TEMP TABLE v_residual AS FROM v_residual';
