"""Tries for participants: their TLS client against ours, their messages and packages against the rules."""
