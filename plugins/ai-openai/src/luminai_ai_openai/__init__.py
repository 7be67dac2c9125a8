"""Models of OpenAI and of every service that speaks its API."""
