"""How bytes and typed values become exact text; what several sources share. Not a source."""
