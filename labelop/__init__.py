"""Prelabel images on premises or in the cloud, review every draft, and know what each path really cost.

The library knows no orchestrator and can be used from a notebook; see ARCHITECTURE.md. Importing it chooses the
heaps of Arrow and of the table library, for which it is too late once they are loaded.
"""

from labelop.memory import choose_heaps_of_libraries

choose_heaps_of_libraries()
