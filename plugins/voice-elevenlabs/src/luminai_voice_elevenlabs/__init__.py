"""Speech of ElevenLabs, over its own API."""
