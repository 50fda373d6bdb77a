"""Steps that look after the tables."""

from labelop.landing.upkeep import maintain as _maintain
from labelop.sensitivity.retention import retain as _retain
from tasks.binding import step

drop_evidence = step(_retain, name="drop-evidence", retries=2)
maintain = step(_maintain, name="maintain-tables", retries=2)
