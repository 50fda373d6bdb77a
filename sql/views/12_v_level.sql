-- The level of each image: the highest that any dataset's current version gives these very bytes.
-- Bytes are the same bytes under every name, so the strictest owner decides; `own_level` is what this dataset alone
-- says, for this `reason`.
-- An override that counts now (`v_override`) raises a level in any case; it lowers it while the findings are those it names.
-- Params: none
-- Grain: dataset, dataset_version, image_id
CREATE VIEW v_level AS
WITH declassified AS (
    SELECT
        image_id, findings_digests, landed_at,
        coalesce(list_position(['public', 'internal', 'confidential', 'restricted'], level), 4) AS rank
    FROM v_override
),
ended AS (
    -- what it allowed while it counted was allowed: its end is news, as a later finding is
    SELECT
        image_id,
        max(
            CASE
                WHEN level = 'withdrawn' THEN landed_at
                ELSE CAST(TRY_CAST("until" AS TIMESTAMP) + INTERVAL 1 DAY AS TIMESTAMPTZ)
            END
        ) AS ended_at
    FROM overrides
    WHERE level = 'withdrawn' OR TRY_CAST("until" AS DATE) < current_date
    GROUP BY image_id
),
classified AS (
    SELECT
        l.dataset, l.dataset_version, l.image_id, l.policy_digest, l.findings_digest, l.reason, l.landed_at,
        greatest(l.landed_at, coalesce(f.policy_since, l.landed_at)) AS known_at,
        coalesce(list_position(['public', 'internal', 'confidential', 'restricted'], l.level), 4) AS rank
    FROM levels AS l
    LEFT JOIN v_in_force AS f USING (dataset, dataset_version)
    WHERE f.policy_digest IS NULL OR f.policy_digest = l.policy_digest
),
version AS (
    SELECT dataset, dataset_version, row_number() OVER (ORDER BY dataset, dataset_version) AS number
    FROM v_heard
),
heard AS (
    SELECT i.dataset, i.dataset_version, i.image_id, i.landed_at, v.number
    FROM images AS i
    INNER JOIN version AS v USING (dataset, dataset_version)
    WHERE i.outcome = 'ok'
),
disputed AS (
    -- most images are of one dataset and were classified once; only of the others is there more than one word to weigh:
    -- a number and the same number with a minus are an image and its one level
    SELECT image_id
    FROM (
        SELECT image_id, number FROM heard
        UNION ALL
        SELECT image_id, -v.number FROM classified LEFT JOIN version AS v USING (dataset, dataset_version)
    )
    GROUP BY image_id
    HAVING (count(number) = 2 AND count(*) = 2 AND sum(number) = 0) IS NOT TRUE
),
found AS (
    SELECT *, FALSE AS is_disputed FROM classified ANTI JOIN disputed USING (image_id)
    UNION ALL
    SELECT *, TRUE FROM classified SEMI JOIN disputed USING (image_id)
    QUALIFY row_number() OVER (
        PARTITION BY image_id, dataset, dataset_version ORDER BY landed_at DESC, policy_digest
    ) = 1
),
own AS (
    SELECT
        f.dataset, f.dataset_version, f.image_id, f.policy_digest, f.findings_digest, f.reason, f.is_disputed,
        CASE
            WHEN d.rank >= f.rank OR list_contains(d.findings_digests, f.findings_digest) THEN d.rank ELSE f.rank
        END AS rank,
        greatest(
            f.known_at, CASE WHEN d.rank > f.rank THEN d.landed_at END, e.ended_at
        ) AS known_at
    FROM found AS f
    LEFT JOIN declassified AS d USING (image_id)
    LEFT JOIN ended AS e USING (image_id)
),
said AS (
    -- an image of another owner that nobody has classified yet is restricted, as everything unknown, since it is there
    SELECT h.image_id, coalesce(own.rank, 4) AS rank, coalesce(own.known_at, h.landed_at) AS known_at
    FROM heard AS h
    SEMI JOIN disputed USING (image_id)
    LEFT JOIN (FROM own WHERE is_disputed) AS own USING (dataset, dataset_version, image_id)
),
strictest AS (
    SELECT image_id, max(rank) AS rank, arg_max(known_at, rank) AS known_at
    FROM (SELECT image_id, rank, min(known_at) AS known_at FROM said GROUP BY image_id, rank)
    GROUP BY image_id
),
weighed AS (
    SELECT *, rank AS own_rank FROM own WHERE NOT is_disputed
    UNION ALL
    SELECT
        own.* REPLACE (
            greatest(own.rank, coalesce(s.rank, 0)) AS rank,
            CASE WHEN s.rank > own.rank THEN s.known_at ELSE own.known_at END AS known_at
        ),
        own.rank
    FROM (FROM own WHERE is_disputed) AS own
    LEFT JOIN strictest AS s USING (image_id)
)
SELECT
    dataset, dataset_version, image_id, policy_digest, findings_digest, reason,
    ['public', 'internal', 'confidential', 'restricted'][own_rank] AS own_level,
    ['public', 'internal', 'confidential', 'restricted'][rank] AS level,
    known_at
FROM weighed;
