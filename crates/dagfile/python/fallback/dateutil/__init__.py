"""Stands in for dateutil where it is not installed: `relativedelta`, `parser.parse`, `tz`."""
