"""Answers by quotation from the knowledge base, and patterns for pictures."""
