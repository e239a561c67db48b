"""The stages of a run up to the wire: plan, extract, validate, transform. Only paths travel between them."""
