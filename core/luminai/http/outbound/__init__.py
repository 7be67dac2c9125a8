"""Calls to other services: the only place in the hub that opens them."""
