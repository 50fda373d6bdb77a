"""Prefect flows, one per file; a flow never imports another, it names its deployment.

Importing them makes the libraries of this process quiet, before any of them is asked for work.
"""

from labelop.settings import be_quiet

be_quiet()
