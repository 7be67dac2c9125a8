"""Configuration: layers, provenance, secrets, problems with file and line."""
