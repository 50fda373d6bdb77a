-- The invoice: every use of a run with its price; amount = quantity x unit price, rounded once, half away from zero.
-- Formulas: measures.md section 7, C_loc, C_cld and C_rev. Every attempt is priced, failed, cancelled and repeated ones
-- too, so the formulas' retry share is not added. `purpose` is work of an arm (chosen, compare, pilot) or evaluation.
-- Loading models is work of the workstation; in the cloud the price book's start stands for it, so it is not added there.
-- The cloud bills one session per run: measured seconds, then start, keep-warm, minimum and rounding as their own line.
-- What a dataset version pays once is on the bill of the run that used the arm first, so later runs change no bill.
-- Params: none
-- Grain: dataset, dataset_version, arm, purpose, run_id, category, item
CREATE VIEW v_cost_line AS
WITH session AS (
    -- whole microseconds: their sum does not depend on the order of rows
    SELECT
        dataset, dataset_version, arm, placement, purpose, run_id,
        sum(busy_us)::HUGEINT AS busy_us,
        coalesce(sum(busy_us) FILTER (energy_joules IS NULL), 0)::HUGEINT AS uncounted_us,
        coalesce(sum(round(energy_joules * 1000)::BIGINT), 0)::HUGEINT AS millijoules,
        sum(waiting_us)::HUGEINT AS waiting_us,  -- null while nobody said who waits
        sum(images_count)::BIGINT AS images_count,
        sum(requests_count)::BIGINT AS requests_count,
        bool_and(requests_counted) AS requests_counted,
        coalesce(sum(sent_bytes), 0)::HUGEINT AS sent_bytes,
        coalesce(sum(received_bytes), 0)::HUGEINT AS received_bytes,
        bool_or(simulated) AS simulated,
        min(started_at) AS started_at
    FROM v_paid_use
    GROUP BY ALL
),
used AS (
    SELECT
        s.*, p.*,
        busy_us / 3.6e9 AS busy_hours,
        (
            ceil(round(greatest(minimum_seconds, busy_us / 1e6 + cold_start_seconds + keep_warm_seconds)
                / increment_seconds, 9)) * increment_seconds - busy_us / 1e6
        ) / 3600 AS idle_hours,
        purpose = 'work' AND 1 = row_number() OVER (
            PARTITION BY dataset, dataset_version, arm, placement, purpose ORDER BY started_at, run_id
        ) AS is_first
    FROM session AS s CROSS JOIN v_price AS p
),
reviewed AS (
    SELECT
        dataset, dataset_version, arm, run_id, effort_source,
        sum(round(effort_seconds * 1e6)::BIGINT) / 3.6e9 / any_value(p.productive_fraction) AS paid_hours,
        any_value(p.loaded_rate_per_hour) AS rate,
        bool_or(simulated) AS simulated
    FROM v_review CROSS JOIN v_price AS p
    GROUP BY ALL
),
priced AS (
    SELECT
        dataset, dataset_version, arm, purpose, run_id, simulated,
        unnest(CASE placement
            WHEN 'onprem' THEN [
                {category: 'hardware', item: 'workstation', quantity: busy_hours, unit: 'hour',
                 unit_price: (machine_price - machine_salvage) / (machine_life_years * machine_busy_hours_per_year),
                 price_item: 'onprem.machine_price', measured: true},
                {category: 'energy', item: 'electricity', quantity: uncounted_us / 3.6e9 * machine_kilowatts * pue,
                 unit: 'kWh', unit_price: electricity_per_kwh, price_item: 'onprem.electricity', measured: false},
                {category: 'energy', item: 'electricity counted', quantity: millijoules / 3.6e9 * pue,
                 unit: 'kWh', unit_price: electricity_per_kwh, price_item: 'onprem.electricity', measured: true},
                {category: 'slowdown', item: 'work slowed down', quantity: busy_hours * slowdown_share,
                 unit: 'hour', unit_price: loaded_rate_per_hour, price_item: 'review.loaded_rate', measured: false},
                {category: 'blocked', item: 'people waited', quantity: coalesce(waiting_us, 0) / 3.6e9,
                 unit: 'hour', unit_price: loaded_rate_per_hour, price_item: 'review.loaded_rate', measured: true},
                {category: 'blocked', item: 'work blocked', quantity: if(is_first AND waiting_us IS NULL, blocked_hours, 0),
                 unit: 'hour', unit_price: loaded_rate_per_hour, price_item: 'review.loaded_rate', measured: false},
                {category: 'setup', item: 'setup and upkeep', quantity: if(is_first, local_setup_hours, 0),
                 unit: 'hour', unit_price: loaded_rate_per_hour, price_item: 'review.loaded_rate', measured: false}
            ]
            ELSE [
                {category: 'gpu', item: 'working seconds', quantity: busy_hours, unit: 'hour',
                 unit_price: gpu_per_hour, price_item: 'cloud.gpu', measured: true},
                {category: 'gpu', item: 'start, minimum, rounding', quantity: idle_hours, unit: 'hour',
                 unit_price: gpu_per_hour, price_item: 'cloud.gpu', measured: false},
                {category: 'api', item: 'calls', quantity: images_count / 1000, unit: '1000 images',
                 unit_price: api_per_thousand, price_item: 'cloud.api', measured: true},
                {category: 'storage', item: 'payloads kept', quantity: sent_bytes / 1e9 * storage_months,
                 unit: 'GB month', unit_price: storage_per_gb_month, price_item: 'cloud.storage', measured: false},
                {category: 'requests', item: 'put', quantity: requests_count / 1000, unit: '1000 requests',
                 unit_price: put_per_thousand, price_item: 'cloud.put', measured: requests_counted},
                {category: 'requests', item: 'get', quantity: requests_count / 1000, unit: '1000 requests',
                 unit_price: get_per_thousand, price_item: 'cloud.get', measured: requests_counted},
                {category: 'egress', item: 'answers received', quantity: received_bytes / 1e9, unit: 'GB',
                 unit_price: egress_per_gb, price_item: 'cloud.egress', measured: true},
                {category: 'setup', item: 'setup and upkeep', quantity: if(is_first, cloud_setup_hours, 0),
                 unit: 'hour', unit_price: loaded_rate_per_hour, price_item: 'review.loaded_rate', measured: false},
                {category: 'setup', item: 'approval and contracts', quantity: if(is_first, governance_hours, 0),
                 unit: 'hour', unit_price: loaded_rate_per_hour, price_item: 'review.loaded_rate', measured: false}
            ]
        END) AS line
    FROM used
    UNION ALL
    SELECT
        dataset, dataset_version, arm, 'work', run_id, simulated,
        {category: 'review', item: effort_source || ' seconds', quantity: paid_hours, unit: 'hour', unit_price: rate,
         price_item: 'review.loaded_rate', measured: effort_source = 'measured'}
    FROM reviewed
),
exact AS (
    SELECT
        dataset, dataset_version, arm, purpose, run_id, line.category, line.item,
        line.quantity::DECIMAL(18, 9) AS quantity, line.unit, line.unit_price::DECIMAL(18, 6) AS unit_price,
        line.price_item, line.measured, simulated
    FROM priced
)
SELECT
    e.dataset, e.dataset_version, e.arm, e.purpose, e.run_id, e.category, e.item, e.quantity, e.unit, e.unit_price,
    -- the wider type: a product of two of 18 digits is kept in 18 and overflows
    (e.quantity::DECIMAL(20, 9) * e.unit_price)::DECIMAL(18, 6) AS amount,
    p.currency, p.price_book, p.price_version, e.price_item, i.as_of AS price_as_of, e.measured, e.simulated
FROM exact AS e
CROSS JOIN v_price AS p
LEFT JOIN v_price_item AS i USING (price_item)
-- an unknown quantity stays visible: the check for unpriced lines finds it
WHERE e.quantity IS NULL OR e.quantity > 0;
COMMENT ON VIEW v_cost_line IS 'CREATE TEMP TABLE v_cost_line AS FROM v_cost_line';
