"""Logs, access lines, health."""
