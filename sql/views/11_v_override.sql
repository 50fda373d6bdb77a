-- The word of a person that counts for an image now: the newest one until its last day, unless it was taken back.
-- No older word comes back in its place.
-- Params: none
-- Grain: image_id
CREATE VIEW v_override AS
WITH newest AS (
    SELECT image_id, level, findings_digests, "until", landed_at
    FROM overrides
    QUALIFY row_number() OVER (PARTITION BY image_id ORDER BY landed_at DESC, override_id) = 1
)
SELECT image_id, level, findings_digests, landed_at
FROM newest
WHERE level IS DISTINCT FROM 'withdrawn' AND TRY_CAST("until" AS DATE) >= current_date;
