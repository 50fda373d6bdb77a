-- The word of a person that counts for an image now: the newest one until its last day, unless it was taken back.
-- No older word comes back in its place. Newest is a matter of position, not of the clock; of two words said at the same
-- moment the stricter counts, and what takes a word back is stricter than what leaves one open.
-- Params: none
-- Grain: image_id
CREATE VIEW v_override AS
WITH newest AS (
    SELECT image_id, level, findings_digests, "until", landed_at
    FROM overrides
    QUALIFY row_number() OVER (
        PARTITION BY image_id
        ORDER BY
            coalesce("position", 0) DESC,
            coalesce(list_position(['public', 'internal', 'confidential', 'withdrawn'], level), 5) DESC,
            "until", override_id
    ) = 1
)
SELECT image_id, level, findings_digests, landed_at
FROM newest
WHERE level IS DISTINCT FROM 'withdrawn' AND TRY_CAST("until" AS DATE) >= current_date;
