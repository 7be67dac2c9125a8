"""The canonical personas, and the directory that finds any persona of the hub by id or alias."""

from luminai_personas.directory import PersonaDirectory

__all__ = ["PersonaDirectory"]
