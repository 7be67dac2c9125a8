"""Models of Anthropic, over its Messages API."""
