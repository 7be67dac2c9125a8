"""What tests of this folder share."""

from work.scheduled import on_schedules

__all__ = ["on_schedules"]
