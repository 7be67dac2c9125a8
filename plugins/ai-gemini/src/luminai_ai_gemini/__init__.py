"""Models of Google, over the Gemini API."""
