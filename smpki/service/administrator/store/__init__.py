"""The administrator's database."""
