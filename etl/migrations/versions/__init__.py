"""One file per version of the ledger, in order."""
