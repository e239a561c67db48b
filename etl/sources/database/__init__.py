"""What a source that is a database is made of: its session and how far it has been read. Not a source."""
