"""Steps of a pilot."""

from labelop.pilot.plan import plan_pilot as _plan_pilot
from tasks.binding import step

plan_pilot = step(_plan_pilot, name="plan-pilot", retries=2)
