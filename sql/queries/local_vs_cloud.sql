-- Local against cloud: on all images each arm had reviewed (`all`), and on the images reviewed under both (`paired`).
-- A difference is this arm minus the other. Active seconds are of `measured_count` of the images, cost is of all. The cheaper arm has the lower cost per accepted label.
-- Params: dataset text = null
-- Grain: dataset, slice, arm
SELECT
    a.dataset, a.slice, a.arm, a.images_count, a.accepted_count, a.her, a.active_seconds_mean, a.measured_count,
    a.cost_per_image, a.cost_per_label, a.images_per_second,
    a.her - b.her AS her_difference,
    a.active_seconds_mean - b.active_seconds_mean AS active_seconds_difference,
    a.cost_per_image - b.cost_per_image AS cost_per_image_difference,
    a.cost_per_label - b.cost_per_label AS cost_per_label_difference,
    a.images_per_second - b.images_per_second AS images_per_second_difference,
    CASE
        WHEN a.cost_per_label < b.cost_per_label THEN a.arm
        WHEN a.cost_per_label > b.cost_per_label THEN b.arm
        WHEN a.cost_per_label = b.cost_per_label THEN 'equal'
    END AS cheaper,
    a.currency, a.price_version,
    a.simulated OR coalesce(b.simulated, false) AS simulated
FROM v_arm_slice AS a
LEFT JOIN v_arm_slice AS b
    ON b.dataset = a.dataset AND b.dataset_version = a.dataset_version AND b.slice = a.slice AND b.arm <> a.arm
SEMI JOIN v_current AS v ON v.dataset = a.dataset AND v.dataset_version = a.dataset_version
WHERE ($dataset::VARCHAR IS NULL OR a.dataset = $dataset::VARCHAR)
ORDER BY a.dataset, a.slice, a.arm;
