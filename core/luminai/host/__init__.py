"""The plugin host: discovery, manifest, config check, order, lifecycle, generations, report."""
