-- Every review a pilot asked for, with the first approved one that came: nulls where it is missing or nobody measured.
-- Its seconds are of all looks up to it, its edits of all of them too: one sent back for a revision took both (see v_review).
-- `known_at` is when a result could first be known: a simulated review names no real time of its own.
-- Params: pilot_id text
-- Grain: image_id, arm
-- Needs: compare reviewers
WITH came AS (
    SELECT v.*
    FROM v_review AS v
    WHERE v.approved
    QUALIFY row_number() OVER (
        PARTITION BY dataset_version, image_id, batch_id ORDER BY submitted_at NULLS LAST, review_id
    ) = 1
)
SELECT
    a.image_id, a.arm, a.stratum, a.batch_id, a.reviewer AS asked_reviewer, a.period, a.position,
    p.outcome, c.review_id, c.reviewer, c.looks_seconds AS active_seconds, c.edits_count, c.labels_count,
    CASE
        WHEN c.simulated THEN r.landed_at
        ELSE least(coalesce(c.submitted_at, r.landed_at), r.landed_at)
    END AS known_at,
    coalesce(c.simulated, false) OR coalesce(p.simulated, false) AS simulated
FROM pilot_assignments AS a
LEFT JOIN came AS c USING (dataset_version, image_id, batch_id)
LEFT JOIN reviews AS r ON r.review_id = c.review_id
LEFT JOIN prelabels AS p ON p.dataset_version = a.dataset_version AND p.image_id = a.image_id AND p.batch_id = a.batch_id
WHERE a.pilot_id = $pilot_id::VARCHAR
ORDER BY a.image_id, a.arm;
