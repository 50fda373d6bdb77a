"""Prefect flows, one per file; a flow never imports another, it names its deployment.

Importing them makes the libraries of this process quiet, before any of them is asked for work, and its crashes too;
and bounds its heaps, before there are threads.
"""

from labelop.memory import keep_few_heaps
from labelop.settings import be_quiet, leave_no_dumps

be_quiet()
leave_no_dumps()
keep_few_heaps()
