"""Vectors in a SQLite file, by sqlite-vec."""
