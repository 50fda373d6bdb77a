-- Every cost line has a quantity, a price and a currency.
-- Params: none
-- Grain: dataset, arm, category, item
SELECT dataset, arm, category, item, quantity, unit_price, currency
FROM v_cost_line
WHERE quantity IS NULL OR unit_price IS NULL OR amount IS NULL OR currency IS NULL
ORDER BY dataset, arm, category, item;
