"""Plugins made on disk, as the tests of the whole make them."""

from plugin_factory import plugins

__all__ = ["plugins"]
