-- Which version of each dataset its owner handed over last; every query reads this version only.
-- Versions are content: going back to an earlier one lands no new row, so the newest ingest decides. A dataset whose first
-- ingest has not come to its end has no event yet; then the newest row does.
-- Params: none
-- Grain: dataset
CREATE VIEW v_current AS
WITH seen AS (
    SELECT dataset, dataset_version, landed_at, 1 AS weight FROM runs WHERE event = 'ingested'
    UNION ALL
    SELECT dataset, dataset_version, landed_at, 0 AS weight FROM images
)
SELECT dataset, dataset_version
FROM seen
GROUP BY dataset, dataset_version
QUALIFY row_number() OVER (
    PARTITION BY dataset ORDER BY max((weight, landed_at)) DESC, dataset_version DESC
) = 1;
