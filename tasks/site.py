"""Steps that hand over what a site kept for the network."""

from labelop.site.handover import hand_over_rows as _hand_over_rows
from labelop.site.handover import probe as _probe
from labelop.site.handover import tell_sync as _tell_sync
from labelop.site.published import pull as _pull
from tasks.binding import step

hand_over_rows = step(_hand_over_rows, name="hand-over-rows")
tell_sync = step(_tell_sync, name="tell-sync")
pull = step(_pull, name="pull-set")
probe = step(_probe, name="ask-head-office")
