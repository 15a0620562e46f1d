"""The token's owner, keys that live in the token, and SoftHSM's set-up.

Open a token with :class:`smpki.hsm.token.Token`; its keys are :class:`smpki.hsm.key.TokenKey`, which sign and agree
like pyca's own. This package imports nothing by itself: PKCS#11 is loaded by those who open a token.
"""
