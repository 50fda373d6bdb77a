-- Every pass of a person over an image, with its state, edits and seconds; imported truth is not a review.
-- `approved` is the door's word (see v_accepted); an approved review is `accepted` as drafted or `fixed` by its edits.
-- `is_last`: it is the last approved one of its image and arm, which is the one that counts.
-- Its edits are all since the draft, so its time is that of all looks since the draft: `looks_seconds` adds what the same
-- person spent on the same draft before, whatever became of that; null where one of these looks was not measured.
-- Another person starts from the draft again (tasks sent back for a revision show it too): that time is not added, since the
-- primary outcome is what one review of an image takes (measures.md section 0). Who did not say who they are stands alone.
-- `active_seconds` and `effort_seconds` are of one look: what is paid sums them over all looks of everybody.
-- Modelled seconds are t_base + sum over operations of n_op * t_op, from scratch t_base + n_final * t_add
-- (measures.md section 7), all by the parameter set of its edits; a review without edits by published seconds.
-- Seconds are measured, calibrated or from literature, never a mean of two of them.
-- Params: none
-- Grain: review_id
CREATE VIEW v_review AS
WITH counted AS (
    SELECT
        review_id,
        count(*) FILTER (op <> 'add') AS predictions_count,
        count(*) FILTER (op = 'accept') AS accepts_count,
        coalesce(sum(CASE op WHEN 'accept' THEN 0 WHEN 'adjust_relabel' THEN 2 ELSE 1 END), 0)::BIGINT AS edits_count,
        sum(model_seconds) AS operation_seconds,
        sum(scratch_seconds) AS scratch_seconds,
        max(base_seconds) AS base_seconds,  -- the same in each of them
        bool_and(starts_with(parameter_set, 'calibrated-')) AS calibrated
    FROM edits
    GROUP BY review_id
),
drawn AS (
    SELECT
        * EXCLUDE (labels, active_seconds),
        CASE WHEN effort_source = 'measured' THEN active_seconds END AS active_seconds,
        len(labels) AS labels_count,
        len(list_filter(labels, lambda x: x.x0_px IS NULL)) AS class_labels_count
    FROM reviews
    WHERE arm <> 'import'
),
repeated AS (
    -- few drafts are looked at twice, and a number is cheaper to group by than five names; equal ones of two do no harm
    SELECT hash(image_id, batch_id, reviewer) AS look FROM drawn GROUP BY ALL HAVING count(*) > 1
),
again AS (
    SELECT * FROM drawn WHERE hash(image_id, batch_id, reviewer) IN (SELECT r.look FROM repeated AS r)
),
earlier AS (
    SELECT
        this.review_id,
        CASE WHEN bool_and(look.active_seconds IS NOT NULL) THEN sum(look.active_seconds) END AS active_seconds
    FROM again AS this
    JOIN again AS look USING (dataset_version, image_id, arm, batch_id, reviewer)
    WHERE look.submitted_at <= this.submitted_at AND look.review_id <> this.review_id
    GROUP BY this.review_id
),
timed AS (
    SELECT
        r.dataset, r.dataset_version, r.image_id, r.arm, r.model_id, r.batch_id, r.review_id, r.reviewer, r.decision,
        a.state, a.refusal, a.refusal IS NULL AND a.review_id IS NOT NULL AS approved,
        coalesce(c.predictions_count, 0) AS predictions_count,
        r.labels_count,
        coalesce(c.accepts_count, 0) AS accepts_count,
        coalesce(c.edits_count, 0) AS edits_count,
        r.active_seconds,
        r.active_seconds + CASE WHEN e.review_id IS NULL THEN 0 ELSE e.active_seconds END AS looks_seconds,
        coalesce(
            c.base_seconds,
            CASE
                WHEN r.labels_count > 0 AND r.labels_count = r.class_labels_count THEN p.base_class_seconds
                ELSE p.base_seconds
            END
        ) AS base_seconds,
        coalesce(c.operation_seconds, 0) AS operation_seconds,
        coalesce(
            c.scratch_seconds,
            (r.labels_count - r.class_labels_count) * p.add_box_seconds + r.class_labels_count * p.add_class_seconds
        ) AS add_seconds,
        CASE WHEN c.calibrated THEN 'calibrated' ELSE 'literature' END AS modelled_by,
        r.simulated, r.submitted_at, r.run_id, r.landed_at
    FROM drawn AS r
    LEFT JOIN counted AS c USING (review_id)
    LEFT JOIN approvals AS a USING (review_id)
    LEFT JOIN earlier AS e USING (review_id)
    CROSS JOIN v_parameter AS p
),
last AS (
    -- ids only: a search over whole rows would carry them all
    SELECT min({before: -epoch_us(submitted_at), review_id: review_id}).review_id AS review_id
    FROM timed
    WHERE approved
    GROUP BY dataset, dataset_version, image_id, arm
)
SELECT
    * EXCLUDE (base_seconds, operation_seconds, add_seconds),
    CASE WHEN approved THEN CASE WHEN edits_count = 0 THEN 'accepted' ELSE 'fixed' END END AS result,
    base_seconds + operation_seconds AS model_seconds,
    base_seconds + add_seconds AS scratch_seconds,
    coalesce(active_seconds, base_seconds + operation_seconds) AS effort_seconds,
    CASE WHEN active_seconds IS NULL THEN modelled_by ELSE 'measured' END AS effort_source,
    last.review_id IS NOT NULL AS is_last
FROM timed
LEFT JOIN last USING (review_id);
COMMENT ON VIEW v_review IS 'CREATE TEMP TABLE v_review AS FROM v_review';
