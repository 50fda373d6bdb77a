-- Correction effort of an arm: sums over its images, not means of rates.
-- HER = sum E / max(1, sum n_final), saving = 1 - sum T_model / sum T_scratch (measures.md section 7), each with the 95 %
-- interval of a ratio over images, linearised; null for a single image. Calibrated seconds and published ones are never
-- put into one mean: where some images have calibrated ones, modelled figures are of these alone (`modelled_count`).
-- Params: none
-- Grain: dataset, dataset_version, arm, model_id
CREATE VIEW v_arm_effort AS
WITH images AS (
    SELECT *, modelled_by = 'calibrated' AS learnt FROM v_image_effort
),
summed AS (
    SELECT
        dataset, dataset_version, arm, model_id,
        count(*) AS images_count,
        sum(predictions_count)::BIGINT AS predictions_count,
        sum(labels_count)::BIGINT AS labels_count,
        sum(edits_count)::BIGINT AS edits_count,
        greatest(1, sum(labels_count))::DOUBLE AS shared_by,
        sum(edits_count) / greatest(1, sum(labels_count)) AS her,
        sum(accepts_count) / nullif(sum(predictions_count), 0) AS accept_rate,
        avg(active_seconds) AS active_seconds_mean,
        min(modelled_by) AS modelled_by,
        coalesce(nullif(count(*) FILTER (learnt), 0), count(*)) AS modelled_count,
        coalesce(sum(model_seconds) FILTER (learnt), sum(model_seconds)) AS t,
        coalesce(sum(scratch_seconds) FILTER (learnt), sum(scratch_seconds)) AS s,
        -- squares and products of which the squared distances from a ratio are made
        sum(edits_count ** 2) AS ee, sum(edits_count * labels_count) AS en, sum(labels_count ** 2) AS nn,
        coalesce(sum(model_seconds ** 2) FILTER (learnt), sum(model_seconds ** 2)) AS tt,
        coalesce(sum(model_seconds * scratch_seconds) FILTER (learnt), sum(model_seconds * scratch_seconds)) AS ts,
        coalesce(sum(scratch_seconds ** 2) FILTER (learnt), sum(scratch_seconds ** 2)) AS ss,
        CASE WHEN count(DISTINCT effort_source) = 1 THEN any_value(effort_source) ELSE 'mixed' END AS effort_source,
        bool_or(simulated) AS simulated
    FROM images
    GROUP BY dataset, dataset_version, arm, model_id
),
spread AS (
    SELECT
        *,
        1.959964 * sqrt(images_count / nullif(images_count - 1, 0)) AS wide,
        1.959964 * sqrt(modelled_count / nullif(modelled_count - 1, 0)) AS modelled_wide,
        t / nullif(s, 0) AS spent,
        sqrt(greatest(0, ee - 2 * her * en + her ** 2 * nn)) / shared_by AS her_spread,
        sqrt(greatest(0, tt - 2 * spent * ts + spent ** 2 * ss)) / s AS spent_spread
    FROM summed
)
SELECT
    dataset, dataset_version, arm, model_id, images_count, predictions_count, labels_count, edits_count,
    her,
    CASE WHEN wide IS NOT NULL THEN greatest(0, her - wide * her_spread) END AS her_lo,
    her + wide * her_spread AS her_hi,
    accept_rate, active_seconds_mean, t / modelled_count AS model_seconds_mean, s / modelled_count AS scratch_seconds_mean,
    1 - spent AS saving, 1 - spent - modelled_wide * spent_spread AS saving_lo,
    1 - spent + modelled_wide * spent_spread AS saving_hi,
    modelled_count, modelled_by, effort_source, simulated
FROM spread;
