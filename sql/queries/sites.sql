-- What head office knows of each site's datasets: the newest answer, and when the site was synced last.
-- Params: dataset text = null
-- Grain: site, dataset
WITH newest AS (
    SELECT *
    FROM site_datasets
    QUALIFY row_number() OVER (PARTITION BY site, dataset ORDER BY "position" DESC) = 1
),
cost AS (
    -- the answers of a dataset wait together, and this one last: those of its run are all there
    SELECT
        c.site, c.dataset, sum(c.amount)::DECIMAL(18, 6) AS total_cost, any_value(c.currency) AS currency,
        bool_or(c.simulated) AS simulated
    FROM site_costs AS c
    SEMI JOIN newest AS n ON n.site = c.site AND n.dataset = c.dataset AND n.run_id = c.run_id
    GROUP BY c.site, c.dataset
),
synced AS (
    SELECT site, max(landed_at) AS synced_at, arg_max(waiting_count, landed_at) AS waiting_count
    FROM syncs
    GROUP BY site
)
SELECT
    newest.site, newest.dataset, newest.dataset_version, newest.discovered_count, newest.landed_count,
    newest.quarantined_count, newest.reviewed_count, cost.total_cost, cost.currency, synced.synced_at,
    synced.waiting_count, newest.simulated OR coalesce(cost.simulated, false) AS simulated
FROM newest
LEFT JOIN cost USING (site, dataset)
LEFT JOIN synced USING (site)
WHERE ($dataset::VARCHAR IS NULL OR newest.dataset = $dataset::VARCHAR)
ORDER BY newest.site, newest.dataset;
