"""Rows in, exactly once; rows out, exactly those. Knows tables, not what their rows mean."""
