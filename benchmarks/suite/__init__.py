"""The measurement of rows: implementations, rounds, tools and the record."""
