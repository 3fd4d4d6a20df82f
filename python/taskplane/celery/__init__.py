"""Celery, seen from inside: its signals become hooks of the Rust agent."""
