"""Durable, checksummed files: caches, journals, records, and the ownership of folders."""
