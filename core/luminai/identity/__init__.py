"""Who acts: API keys and the operator's one-time set-up token."""
