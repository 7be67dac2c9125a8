"""The web edge: dispatch by claimed prefix, one small Litestar app a plugin, guards, problems, OpenAPI."""
