"""Encryption at rest: a data key for each subject, wrapped by the master key (reliability 2.4; NIST SP 800-38D for AES-GCM)."""
