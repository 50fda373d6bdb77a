-- Reviews that people are asked for, done or not, with the seconds expected of each: drafts of every plan, tasks beside them
-- that measure reviewers, and tasks of pilots. `in_force`: no later plan has replaced the draft that is reviewed, or that
-- the task is beside; pilots go on while their dataset gets further versions (`piloted`). What nobody did before its pilot ended is not asked for any more, and
-- what was assigned before planning broke off, so that no pilot was declared, never was.
-- An arm of which no decision expects seconds, as one without drafts, is taken for the longest known of its dataset version,
-- else of all; null where nothing is known.
-- Params: none
-- Grain: dataset, dataset_version, image_id, batch_id
CREATE VIEW v_asked_review AS
WITH planned AS (
    SELECT dataset, dataset_version, arm, image_id, batch_id, landed_at, batch_id AS drafted_in
    FROM prelabels
    WHERE role IN ('chosen', 'compare') AND outcome IN ('ok', 'empty')
    UNION ALL
    SELECT
        dataset, dataset_version, CASE purpose WHEN 'seeded' THEN 'seeded' ELSE 'blind' END,
        image_id, batch_id, landed_at, source_batch_id
    FROM bias_tasks
),
asked AS (
    SELECT
        p.* EXCLUDE (drafted_in),
        f.plan_id IS NULL OR (p.drafted_in, f.plan_id) IN (SELECT (b.batch_id, b.plan_id) FROM batches AS b) AS in_force,
        false AS piloted
    FROM planned AS p
    LEFT JOIN v_in_force AS f USING (dataset, dataset_version)
    UNION ALL
    SELECT
        a.dataset, a.dataset_version, a.arm, a.image_id, a.batch_id, coalesce(p.landed_at, a.landed_at), true, true
    FROM pilot_assignments AS a
    SEMI JOIN pilots AS d ON d.pilot_id = a.pilot_id
    LEFT JOIN prelabels AS p USING (dataset_version, image_id, batch_id)
    LEFT JOIN (SELECT DISTINCT pilot_id FROM pilot_ends) AS e ON e.pilot_id = a.pilot_id
    WHERE
        (a.arm = 'blind' OR p.outcome IN ('ok', 'empty'))
        AND (e.pilot_id IS NULL OR (a.image_id, a.batch_id) IN (SELECT (r.image_id, r.batch_id) FROM reviews AS r))
),
longest AS (
    SELECT dataset, dataset_version, max(review_seconds) AS review_seconds
    FROM v_expected_review
    GROUP BY dataset, dataset_version
)
SELECT a.*, coalesce(e.review_seconds, l.review_seconds, (SELECT max(review_seconds) FROM longest)) AS review_seconds
FROM asked AS a
LEFT JOIN v_expected_review AS e USING (dataset, dataset_version, arm)
LEFT JOIN longest AS l USING (dataset, dataset_version);
