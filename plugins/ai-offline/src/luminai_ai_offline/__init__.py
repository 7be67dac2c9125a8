"""Answers by quotation from the knowledge base."""
