"""Object identifiers that pyca does not name (BSI TR-03109-4 annex C, RFC 4211, SEC 2, RFC 5639)."""

# request packages: content types of TR-03109-4, below bsi-de = 0.4.0.127.0.7
BSI_CERT_REQ_MSGS = "0.4.0.127.0.7.4.1.1.1"
BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE = "0.4.0.127.0.7.4.1.1.2"
BSI_AUTHORIZED_CERT_REQ_MSGS = "0.4.0.127.0.7.4.1.1.3"

# the certificate policy of the SM-PKI
SM_PKI_POLICY = "0.4.0.127.0.7.3.4.1.1.1"

EC_PUBLIC_KEY = "1.2.840.10045.2.1"
ECDSA_WITH_SHA256 = "1.2.840.10045.4.3.2"
ECDSA_WITH_SHA384 = "1.2.840.10045.4.3.3"
ECDSA_WITH_SHA512 = "1.2.840.10045.4.3.4"
