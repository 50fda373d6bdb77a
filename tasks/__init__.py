"""Prefect bindings of library functions, by stage; no logic lives here."""
