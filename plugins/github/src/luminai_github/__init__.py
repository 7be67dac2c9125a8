"""GitHub's webhooks. The payload of the plugin's events is the public face."""

from luminai_github.schemas import Happening

__all__ = ["Happening"]
