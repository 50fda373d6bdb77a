-- The prices behind every figure of cost: amount, range, source and how old each was when its book landed.
-- Params: none
-- Grain: price_item
SELECT price_item, amount, low, high, unit, currency, as_of, age_days, source, price_version, price_book
FROM v_price_item
ORDER BY price_item;
