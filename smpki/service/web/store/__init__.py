"""What the web service remembers, in the PKI's database."""
