from plugin_factory import plugins

__all__ = ["plugins"]
