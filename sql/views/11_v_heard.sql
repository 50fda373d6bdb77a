-- Dataset versions whose word about their images counts: the current one of each dataset, and one that was handed over
-- since and whose ingest has not come to its end.
-- Params: none
-- Grain: dataset, dataset_version
CREATE VIEW v_heard AS
SELECT dataset, dataset_version FROM v_current
UNION
SELECT i.dataset, i.dataset_version
FROM images AS i
LEFT JOIN (SELECT dataset, max(landed_at) AS ended_at FROM runs WHERE event = 'ingested' GROUP BY dataset) AS r
    USING (dataset)
WHERE i.landed_at > r.ended_at OR r.ended_at IS NULL;
