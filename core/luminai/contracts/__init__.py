"""What the hub and its plugins say to each other: hookspecs, Structs and Protocols. No I/O, no other room imported."""
