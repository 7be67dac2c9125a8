"""Models of Ollama servers, over their own API."""
