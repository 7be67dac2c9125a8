"""Letters through a mail server."""
