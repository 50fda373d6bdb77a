"""Steps that decide, plan and do the prelabelling."""

from labelop.catalog.record import land_cards as _land_cards
from labelop.cost.prices import land_prices as _land_prices
from labelop.prelabel.batch import land_batches as _land_batches
from labelop.prelabel.plan import plan_dataset as _plan_dataset
from labelop.prelabel.shard import OpenShard
from labelop.routing.route import route_dataset as _route_dataset
from tasks.binding import step

land_cards = step(_land_cards, name="land-cards", retries=2)
land_prices = step(_land_prices, name="land-prices", retries=2)
route_dataset = step(_route_dataset, name="route-dataset", retries=2)
plan_dataset = step(_plan_dataset, name="plan-batches", retries=2)
run_batches = step(OpenShard.run_for, name="prelabel-batches")
run_batch = step(OpenShard.run, name="prelabel-batch-again", retries=1)
land_batches = step(_land_batches, name="land-batches", retries=2)
