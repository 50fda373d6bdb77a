-- Images that a pilot may take, with what is expected in them: usable, and under no version of the dataset reviewed by anybody,
-- set aside by a pilot that goes on, or by `labelop bias plan`: nobody sees an image twice.
-- What was assigned before its pilot was declared counts as free: planning that broke off draws the same again.
-- A class is rare with less than 5 % of all objects; objects are those of the chosen drafts, none where there are none.
-- Params: dataset text; dataset_version text
-- Grain: image_id
WITH drafted AS (
    SELECT image_id, unnest(predictions) AS draft
    FROM v_prelabel
    WHERE dataset = $dataset::VARCHAR AND dataset_version = $dataset_version::VARCHAR AND role = 'chosen'
),
objects AS (
    SELECT image_id, draft.label AS label
    FROM drafted
    WHERE draft.draft AND draft.x0_px IS NOT NULL
),
rare AS (
    SELECT label
    FROM objects
    GROUP BY label
    HAVING count(*) < 0.05 * (SELECT count(*) FROM objects)
),
counted AS (
    SELECT image_id, count(*) AS objects_count, count(*) FILTER (label IN (FROM rare)) > 0 AS rare
    FROM objects
    GROUP BY image_id
)
SELECT
    o.image_id, coalesce(c.objects_count, 0) AS objects_count, o.area_px, o.source, coalesce(c.rare, false) AS rare
FROM v_origin AS o
LEFT JOIN counted AS c USING (image_id)
ANTI JOIN (
    SELECT image_id FROM reviews WHERE arm <> 'import' AND dataset = $dataset::VARCHAR
    UNION ALL
    SELECT image_id FROM bias_tasks WHERE dataset = $dataset::VARCHAR
    UNION ALL
    SELECT a.image_id
    FROM pilot_assignments AS a
    SEMI JOIN pilots AS p ON p.pilot_id = a.pilot_id
    ANTI JOIN pilot_ends AS e ON e.pilot_id = a.pilot_id
    WHERE a.dataset = $dataset::VARCHAR
) AS taken USING (image_id)
WHERE o.dataset = $dataset::VARCHAR AND o.dataset_version = $dataset_version::VARCHAR
ORDER BY o.image_id;
