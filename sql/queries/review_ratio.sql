-- How much longer an arm's drafts are corrected than the other's, over the `images_count` images that were reviewed under both
-- and whose seconds are of one source under both, the best that such images have (see v_image_effort).
-- Params: dataset text; dataset_version text
-- Grain: arm
SELECT
    mine.arm, sum(mine.effort_seconds) / nullif(sum(other.effort_seconds), 0) AS ratio, count(*) AS images_count,
    effort_source
FROM v_image_effort AS mine
JOIN v_image_effort AS other USING (dataset, dataset_version, image_id, effort_source, source_rank)
WHERE
    dataset = $dataset::VARCHAR AND dataset_version = $dataset_version::VARCHAR
    AND (mine.arm, other.arm) IN (('local', 'cloud'), ('cloud', 'local'))
GROUP BY mine.arm, effort_source, source_rank
QUALIFY source_rank = min(source_rank) OVER (PARTITION BY mine.arm)
ORDER BY mine.arm;
