"""A small shop whose background work is worth watching."""
