"""Steps that bring corrections back and measure them."""

from labelop.effort.ledger import land_edits as _land_edits
from labelop.effort.quality import land_quality as _land_quality
from labelop.review.label_studio import import_reviews as _import_reviews
from labelop.review.pull import pull_reviews as _pull_reviews
from labelop.review.push import push_reviews as _push_reviews
from labelop.review.simulate import simulate_reviews as _simulate_reviews
from tasks.binding import step

import_reviews = step(_import_reviews, name="import-reviews", retries=2)
push_reviews = step(_push_reviews, name="push-reviews", retries=2)
pull_reviews = step(_pull_reviews, name="pull-reviews", retries=2)
simulate_reviews = step(_simulate_reviews, name="simulate-reviews")
land_edits = step(_land_edits, name="land-edits", retries=2)
land_quality = step(_land_quality, name="land-quality", retries=2)
