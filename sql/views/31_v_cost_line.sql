-- Every use with its price: quantity, unit, unit price, amount; measures.md section 7, C_loc, C_cld and C_rev.
-- Every attempt is priced, repeated and failed ones too, so the formulas' retry share is not added to measured seconds.
-- Loading models is work of the workstation; in the cloud the price book's start stands for it, so it is not added there.
-- The cloud bills one session per run: measured seconds, then start, keep-warm, minimum and rounding as their own line.
-- Params: none
-- Grain: dataset, dataset_version, arm, category, item
CREATE VIEW v_cost_line AS
WITH session AS (
    SELECT
        dataset, dataset_version, arm, placement, run_id,
        sum(wall_seconds + CASE placement WHEN 'onprem' THEN coalesce(cold_start_seconds, 0) ELSE 0 END) AS wall_seconds,
        sum(images_count) AS images_count,
        sum(sent_bytes) AS sent_bytes,
        sum(received_bytes) AS received_bytes,
        bool_or(simulated) AS simulated
    FROM usage
    -- of what reached no server the cloud bills nothing; its seconds were spent waiting and stay in `usage`
    WHERE role IN ('chosen', 'compare') AND (placement <> 'cloud' OR sent_bytes IS DISTINCT FROM 0)
    GROUP BY dataset, dataset_version, arm, placement, run_id
),
used AS (
    SELECT
        dataset, dataset_version, arm, placement,
        sum(wall_seconds) / 3600 AS busy_hours,
        sum(images_count) AS images_count,
        coalesce(sum(sent_bytes), 0) / 1e9 AS sent_gb,
        coalesce(sum(received_bytes), 0) / 1e9 AS received_gb,
        sum(
            ceil(round(greatest(minimum_seconds, wall_seconds + cold_start_seconds + keep_warm_seconds)
                / increment_seconds, 9)) * increment_seconds - wall_seconds
        ) / 3600 AS idle_hours,
        bool_or(simulated) AS simulated
    FROM session CROSS JOIN v_price
    GROUP BY dataset, dataset_version, arm, placement
),
reviewed AS (
    SELECT
        dataset, dataset_version, arm, effort_source,
        sum(effort_seconds) / 3600 AS active_hours,
        bool_or(simulated) AS simulated
    FROM v_review
    GROUP BY dataset, dataset_version, arm, effort_source
),
line AS (
    SELECT
        u.dataset, u.dataset_version, u.arm, 'hardware' AS category, 'workstation' AS item,
        u.busy_hours AS quantity, 'hour' AS unit,
        (p.machine_price - p.machine_salvage) / (p.machine_life_years * p.machine_busy_hours_per_year) AS unit_price,
        true AS measured, u.simulated
    FROM used AS u CROSS JOIN v_price AS p WHERE u.placement = 'onprem'
    UNION ALL
    SELECT
        u.dataset, u.dataset_version, u.arm, 'energy', 'electricity',
        u.busy_hours * p.machine_kilowatts * p.pue, 'kWh', p.electricity_per_kwh, false, u.simulated
    FROM used AS u CROSS JOIN v_price AS p WHERE u.placement = 'onprem'
    UNION ALL
    SELECT
        u.dataset, u.dataset_version, u.arm, 'slowdown', 'work slowed down',
        u.busy_hours * p.slowdown_share, 'hour', p.loaded_rate_per_hour, false, u.simulated
    FROM used AS u CROSS JOIN v_price AS p WHERE u.placement = 'onprem'
    UNION ALL
    SELECT
        u.dataset, u.dataset_version, u.arm, 'blocked', 'work blocked',
        p.blocked_hours, 'hour', p.loaded_rate_per_hour, false, u.simulated
    FROM used AS u CROSS JOIN v_price AS p WHERE u.placement = 'onprem'
    UNION ALL
    SELECT
        u.dataset, u.dataset_version, u.arm, 'setup', 'setup and upkeep',
        CASE u.placement WHEN 'onprem' THEN p.local_setup_hours ELSE p.cloud_setup_hours END,
        'hour', p.loaded_rate_per_hour, false, u.simulated
    FROM used AS u CROSS JOIN v_price AS p
    UNION ALL
    SELECT
        u.dataset, u.dataset_version, u.arm, 'setup', 'approval and contracts',
        p.governance_hours, 'hour', p.loaded_rate_per_hour, false, u.simulated
    FROM used AS u CROSS JOIN v_price AS p WHERE u.placement = 'cloud'
    UNION ALL
    SELECT
        u.dataset, u.dataset_version, u.arm, 'gpu', 'working seconds',
        u.busy_hours, 'hour', p.gpu_per_hour, true, u.simulated
    FROM used AS u CROSS JOIN v_price AS p WHERE u.placement = 'cloud'
    UNION ALL
    SELECT
        u.dataset, u.dataset_version, u.arm, 'gpu', 'start, minimum, rounding',
        u.idle_hours, 'hour', p.gpu_per_hour, false, u.simulated
    FROM used AS u CROSS JOIN v_price AS p WHERE u.placement = 'cloud'
    UNION ALL
    SELECT
        u.dataset, u.dataset_version, u.arm, 'api', 'calls',
        u.images_count / 1000, '1000 images', p.api_per_thousand, true, u.simulated
    FROM used AS u CROSS JOIN v_price AS p WHERE u.placement = 'cloud'
    UNION ALL
    SELECT
        u.dataset, u.dataset_version, u.arm, 'storage', 'payloads kept',
        u.sent_gb * p.storage_months, 'GB month', p.storage_per_gb_month, false, u.simulated
    FROM used AS u CROSS JOIN v_price AS p WHERE u.placement = 'cloud'
    UNION ALL
    SELECT
        u.dataset, u.dataset_version, u.arm, 'requests', 'put',
        u.images_count / 1000, '1000 requests', p.put_per_thousand, true, u.simulated
    FROM used AS u CROSS JOIN v_price AS p WHERE u.placement = 'cloud'
    UNION ALL
    SELECT
        u.dataset, u.dataset_version, u.arm, 'requests', 'get',
        u.images_count / 1000, '1000 requests', p.get_per_thousand, true, u.simulated
    FROM used AS u CROSS JOIN v_price AS p WHERE u.placement = 'cloud'
    UNION ALL
    SELECT
        u.dataset, u.dataset_version, u.arm, 'egress', 'answers received',
        u.received_gb, 'GB', p.egress_per_gb, true, u.simulated
    FROM used AS u CROSS JOIN v_price AS p WHERE u.placement = 'cloud'
    UNION ALL
    SELECT
        r.dataset, r.dataset_version, r.arm, 'review', r.effort_source || ' seconds',
        r.active_hours / p.productive_fraction, 'hour', p.loaded_rate_per_hour,
        r.effort_source = 'measured', r.simulated
    FROM reviewed AS r CROSS JOIN v_price AS p
)
SELECT
    line.* EXCLUDE (unit_price, measured, simulated),
    line.unit_price::DECIMAL(18, 6) AS unit_price,
    (line.quantity * line.unit_price)::DECIMAL(18, 6) AS amount,
    v_price.currency, v_price.price_book, line.measured, line.simulated
FROM line CROSS JOIN v_price
-- an unknown quantity stays visible: the check for unpriced lines finds it
WHERE line.quantity IS NULL OR line.quantity > 0;
