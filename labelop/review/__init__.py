"""Drafts out to people and their corrections back in; every tool's format converts at this rim."""
