"""What stands around the vendors: the HTTP server, its faults and books. Knows none of them by name."""
