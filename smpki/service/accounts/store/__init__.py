"""What is remembered of accounts, in the PKI's database."""
