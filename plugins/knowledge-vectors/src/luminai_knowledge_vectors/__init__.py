"""Passages of the knowledge base as vectors."""
