"""Steps that look after the tables."""

from labelop.landing.upkeep import maintain as _maintain
from tasks.binding import step

maintain = step(_maintain, name="maintain-tables", retries=2)
