"""Backups: one encrypted file with the whole database and the files beside it, checked without restoring, restored with proof (reliability P9)."""
