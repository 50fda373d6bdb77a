"""Signals: each looks at one kind of evidence and gives observations, never the sensitive text itself."""
