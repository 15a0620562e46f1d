"""The desk over REST, for scripts: FastAPI, problem details for errors, and an OpenAPI document that is true.

FastAPI, because it is ASGI like the web service, so that one application stands on the people's port and beside SOAP on
the mutual-TLS port; and because the document comes from the same pydantic models that read requests and write answers.
"""
