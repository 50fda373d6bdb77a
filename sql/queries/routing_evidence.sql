-- What earlier versions of a dataset tell: seconds of machine and of review per image, by model. Review is the mean of the
-- `reviewed_count` images whose seconds are of the best source there is, `review_source` (see v_image_effort).
-- Params: dataset text; dataset_version text
-- Grain: arm, model_id
WITH machine AS (
    -- evaluation runs a cloud model on premises, so it says nothing about an arm; repeats are planned by the retry rate
    SELECT arm, model_id, sum(wall_seconds) / nullif(sum(images_count), 0) AS machine_seconds
    FROM usage
    WHERE dataset = $dataset::VARCHAR AND dataset_version <> $dataset_version::VARCHAR
    AND role IN ('chosen', 'compare') AND outcome = 'finished'
    GROUP BY arm, model_id
),
review AS (
    SELECT
        arm, model_id, avg(effort_seconds) AS review_seconds, count(*) AS reviewed_count, effort_source AS review_source
    FROM v_image_effort
    WHERE dataset = $dataset::VARCHAR AND dataset_version <> $dataset_version::VARCHAR
    GROUP BY arm, model_id, effort_source, source_rank
    QUALIFY source_rank = min(source_rank) OVER (PARTITION BY arm, model_id)
)
SELECT arm, model_id, machine.machine_seconds, review.review_seconds, review.reviewed_count, review.review_source
FROM machine
FULL JOIN review USING (arm, model_id)
ORDER BY arm, model_id;
