"""Word of due jobs through SAQ."""
