-- The level of each image: the highest that any dataset's current version gives these very bytes.
-- Bytes are the same bytes under every name, so the strictest owner decides; `own_level` is what this dataset alone says.
-- Params: none
-- Grain: dataset, dataset_version, image_id
CREATE VIEW v_level AS
WITH own AS (
    SELECT
        l.dataset, l.dataset_version, l.image_id, l.policy_digest, l.level,
        greatest(l.landed_at, coalesce(f.policy_since, l.landed_at)) AS known_at,
        coalesce(list_position(['public', 'internal', 'confidential', 'restricted'], l.level), 4) AS rank
    FROM levels AS l
    LEFT JOIN v_in_force AS f USING (dataset, dataset_version)
    WHERE f.policy_digest IS NULL OR f.policy_digest = l.policy_digest
    QUALIFY row_number() OVER (
        PARTITION BY l.dataset, l.dataset_version, l.image_id ORDER BY l.landed_at DESC, l.policy_digest
    ) = 1
),
strictest AS (
    SELECT image_id, max(rank) AS rank, arg_max(known_at, rank) AS known_at
    FROM own
    SEMI JOIN v_current USING (dataset, dataset_version)
    GROUP BY image_id
)
SELECT
    own.dataset, own.dataset_version, own.image_id, own.policy_digest, own.level AS own_level,
    ['public', 'internal', 'confidential', 'restricted'][greatest(own.rank, coalesce(s.rank, 0))] AS level,
    CASE WHEN s.rank > own.rank THEN s.known_at ELSE own.known_at END AS known_at
FROM own
LEFT JOIN strictest AS s USING (image_id);
