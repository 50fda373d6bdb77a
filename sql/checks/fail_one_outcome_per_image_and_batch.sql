-- A batch that landed holds exactly one outcome for each of its images and none for any other.
-- Params: none
-- Grain: batch_id, image_id
WITH landed AS (
    SELECT batch_id, image_id, count(*) AS rows_count
    FROM prelabels
    GROUP BY batch_id, image_id
),
planned AS (
    SELECT DISTINCT batch_id, unnest(image_ids) AS image_id, true AS planned
    FROM batches
    SEMI JOIN landed USING (batch_id)
)
SELECT batch_id, image_id, coalesce(rows_count, 0) AS rows_count, coalesce(planned, false) AS planned
FROM planned
FULL JOIN landed USING (batch_id, image_id)
WHERE planned IS NULL OR rows_count IS DISTINCT FROM 1
ORDER BY batch_id, image_id;
