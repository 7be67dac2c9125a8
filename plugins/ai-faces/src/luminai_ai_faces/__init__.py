"""The APIs of OpenAI, Anthropic and Gemini over the hub's models and personas."""
