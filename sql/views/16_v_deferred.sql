-- Images that wait: in a batch of the plan in force that has not landed, after a run that said it keeps such batches. At a
-- site those for another placement wait for the network; those from a position on wait for reviewers. Neither lost nor done.
-- Those of a version that was not planned yet, or that a run is at, wait for their prelabelling.
-- Params: none
-- Grain: dataset, dataset_version, image_id
CREATE VIEW v_deferred AS
WITH kept AS (
    SELECT
        dataset, dataset_version,
        coalesce((summary ->> 'deferred_count')::BIGINT, 0) > 0 AS keeps_cloud,
        (summary ->> 'held_from_position')::BIGINT AS held_from
    FROM runs
    WHERE event = 'prelabelled'
    QUALIFY row_number() OVER (PARTITION BY dataset, dataset_version ORDER BY landed_at DESC, run_id DESC) = 1
),
planned AS (
    SELECT b.dataset, b.dataset_version, unnest(b.image_ids) AS image_id
    FROM batches AS b
    SEMI JOIN v_in_force AS f
        ON f.dataset = b.dataset AND f.dataset_version = b.dataset_version AND f.plan_id = b.plan_id
    JOIN kept AS k ON k.dataset = b.dataset AND k.dataset_version = b.dataset_version
    WHERE b.role = 'chosen' AND ((k.keeps_cloud AND b.placement <> 'onprem') OR b.position >= k.held_from)
    UNION ALL
    SELECT i.dataset, i.dataset_version, i.image_id
    FROM images AS i
    SEMI JOIN v_waiting AS w ON w.dataset = i.dataset AND w.dataset_version = i.dataset_version
    WHERE i.outcome = 'ok'
)
SELECT DISTINCT dataset, dataset_version, image_id
FROM planned
ANTI JOIN (SELECT dataset, dataset_version, image_id FROM v_prelabel WHERE role = 'chosen') AS landed
    USING (dataset, dataset_version, image_id);
