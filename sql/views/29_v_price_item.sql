-- Every price of the book in force, with its range, age and source. Before the first plan, the book that landed last.
-- `low` and `high` are P10 and P90; without them the amount is taken as certain.
-- Params: none
-- Grain: price_item
CREATE VIEW v_price_item AS
SELECT
    placement || '.' || item AS price_item, unit, amount, low, high, currency, as_of, source, price_book, price_version,
    -- `undated` has no age; a year or a month counts from its first day
    date_diff(
        'day', TRY_CAST(as_of || left('-01-01', 10 - len(as_of)) AS DATE), landed_at::DATE
    ) AS age_days
FROM prices
WHERE price_book = coalesce(
    (SELECT arg_max(price_book, landed_at) FROM runs),
    (SELECT price_book FROM prices ORDER BY landed_at DESC, price_book DESC LIMIT 1)
);
