"""Packages that the hub's own environment does not have."""

from vector_packages import vector_packages

__all__ = ["vector_packages"]
