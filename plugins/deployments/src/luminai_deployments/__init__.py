"""Deployments, told to those who watch."""
