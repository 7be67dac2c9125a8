"""The audit log: append-only, provable with a Merkle tree, signed checkpoints kept outside."""
