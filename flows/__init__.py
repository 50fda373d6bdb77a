"""Prefect flows, one per file; a flow never imports another, it names its deployment."""
