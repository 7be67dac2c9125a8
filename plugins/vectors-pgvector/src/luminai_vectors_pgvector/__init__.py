"""Vectors in PostgreSQL, by pgvector."""
