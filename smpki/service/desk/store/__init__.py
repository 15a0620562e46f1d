"""What the desk remembers, in the PKI's database."""
