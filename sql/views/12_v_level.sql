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
heard AS (
    -- versions that count: the current one, and one that was handed over since and whose ingest has not come to its end
    SELECT dataset, dataset_version FROM v_current
    UNION
    SELECT i.dataset, i.dataset_version
    FROM images AS i
    LEFT JOIN (SELECT dataset, max(landed_at) AS ended_at FROM runs WHERE event = 'ingested' GROUP BY dataset) AS r
        USING (dataset)
    WHERE i.landed_at > r.ended_at OR r.ended_at IS NULL
),
strictest AS (
    -- an image of another owner that nobody has classified yet is restricted, as everything unknown
    SELECT i.image_id, max(coalesce(own.rank, 4)) AS rank, arg_max(own.known_at, own.rank) AS known_at
    FROM images AS i
    SEMI JOIN heard USING (dataset, dataset_version)
    LEFT JOIN own USING (dataset, dataset_version, image_id)
    WHERE i.outcome = 'ok'
    GROUP BY i.image_id
)
SELECT
    own.dataset, own.dataset_version, own.image_id, own.policy_digest, own.level AS own_level,
    ['public', 'internal', 'confidential', 'restricted'][greatest(own.rank, coalesce(s.rank, 0))] AS level,
    CASE WHEN s.rank > own.rank THEN s.known_at ELSE own.known_at END AS known_at
FROM own
LEFT JOIN strictest AS s USING (image_id);
