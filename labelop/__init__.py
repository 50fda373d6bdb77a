"""Prelabel images on premises or in the cloud, review every draft, and know what each path really cost.

The library knows no orchestrator and can be used from a notebook; see ARCHITECTURE.md.
"""
