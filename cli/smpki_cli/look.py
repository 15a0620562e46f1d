"""``smpki inspect`` and ``smpki lint``: look at files; no PKI is needed."""
