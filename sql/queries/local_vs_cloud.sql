-- Local against cloud: on all images of each arm, and on the same images where both arms were reviewed.
-- Differences are cloud minus local. The cheaper arm is the one with the lower cost per accepted label.
-- Params: dataset text = null
-- Grain: dataset, slice
WITH l AS (
    SELECT * FROM v_arm_slice WHERE arm = 'local'
),
c AS (
    SELECT * FROM v_arm_slice WHERE arm = 'cloud'
)
SELECT
    dataset, slice,
    l.images_count AS local_images_count,
    c.images_count AS cloud_images_count,
    l.her AS local_her,
    c.her AS cloud_her,
    c.her - l.her AS her_difference,
    l.active_seconds_mean AS local_active_seconds_mean,
    c.active_seconds_mean AS cloud_active_seconds_mean,
    c.active_seconds_mean - l.active_seconds_mean AS active_seconds_difference,
    l.cost_per_image AS local_cost_per_image,
    c.cost_per_image AS cloud_cost_per_image,
    c.cost_per_image - l.cost_per_image AS cost_per_image_difference,
    l.cost_per_label AS local_cost_per_label,
    c.cost_per_label AS cloud_cost_per_label,
    c.cost_per_label - l.cost_per_label AS cost_per_label_difference,
    l.images_per_second AS local_images_per_second,
    c.images_per_second AS cloud_images_per_second,
    c.images_per_second - l.images_per_second AS images_per_second_difference,
    CASE
        WHEN l.cost_per_label < c.cost_per_label THEN 'local'
        WHEN l.cost_per_label > c.cost_per_label THEN 'cloud'
        WHEN l.cost_per_label = c.cost_per_label THEN 'equal'
    END AS cheaper,
    coalesce(l.currency, c.currency) AS currency,
    coalesce(l.simulated, false) OR coalesce(c.simulated, false) AS simulated
FROM l
FULL JOIN c USING (dataset, dataset_version, slice)
SEMI JOIN v_current USING (dataset, dataset_version)
WHERE ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR)
ORDER BY dataset, slice;
