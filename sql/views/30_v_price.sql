-- The price book in force, one column per item; an item without a price is null. Before the first plan, the one landed last.
-- Params: none
-- Grain: price_book
CREATE VIEW v_price AS
WITH book AS (
    SELECT price_item AS key, amount::DOUBLE AS amount, currency, price_book, price_version FROM v_price_item
)
SELECT
    any_value(price_book) AS price_book,
    any_value(price_version) AS price_version,
    max(currency) AS currency,
    max(amount) FILTER (key = 'onprem.machine_price') AS machine_price,
    max(amount) FILTER (key = 'onprem.machine_salvage') AS machine_salvage,
    max(amount) FILTER (key = 'onprem.machine_life') AS machine_life_years,
    max(amount) FILTER (key = 'onprem.machine_busy') AS machine_busy_hours_per_year,
    max(amount) FILTER (key = 'onprem.machine_power') AS machine_kilowatts,
    max(amount) FILTER (key = 'onprem.pue') AS pue,
    max(amount) FILTER (key = 'onprem.electricity') AS electricity_per_kwh,
    max(amount) FILTER (key = 'onprem.slowdown') AS slowdown_share,
    max(amount) FILTER (key = 'onprem.blocked') AS blocked_hours,
    max(amount) FILTER (key = 'onprem.setup') AS local_setup_hours,
    max(amount) FILTER (key = 'cloud.gpu') AS gpu_per_hour,
    max(amount) FILTER (key = 'cloud.increment') AS increment_seconds,
    max(amount) FILTER (key = 'cloud.minimum') AS minimum_seconds,
    max(amount) FILTER (key = 'cloud.cold_start') AS cold_start_seconds,
    max(amount) FILTER (key = 'cloud.keep_warm') AS keep_warm_seconds,
    max(amount) FILTER (key = 'cloud.api') AS api_per_thousand,
    max(amount) FILTER (key = 'cloud.storage') AS storage_per_gb_month,
    max(amount) FILTER (key = 'cloud.storage_time') AS storage_months,
    max(amount) FILTER (key = 'cloud.put') AS put_per_thousand,
    max(amount) FILTER (key = 'cloud.get') AS get_per_thousand,
    max(amount) FILTER (key = 'cloud.egress') AS egress_per_gb,
    max(amount) FILTER (key = 'cloud.setup') AS cloud_setup_hours,
    max(amount) FILTER (key = 'cloud.governance') AS governance_hours,
    max(amount) FILTER (key = 'review.loaded_rate') AS loaded_rate_per_hour,
    max(amount) FILTER (key = 'review.productive_fraction') AS productive_fraction,
    max(amount) FILTER (key = 'review.escaped_error') AS escaped_error
FROM book;
