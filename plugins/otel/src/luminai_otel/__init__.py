"""Traces to an OpenTelemetry collector."""
