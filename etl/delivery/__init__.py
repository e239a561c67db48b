"""Delivery: the only room that opens a connection to a vendor. Lookups before a run, batches over the wire, pacing."""
