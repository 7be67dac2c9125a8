"""Word of due jobs through PgQueuer."""
