"""Which certificate authorities are trusted, for every exchange alike."""

import os
from pathlib import Path

# The first that is set counts. requests knows the first two; OpenSSL and httpx know the third.
VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
REMEDY = (
    "if its certificate is of an authority of your own, set REQUESTS_CA_BUNDLE to the file (PEM) "
    "with that authority's certificate"
)


class CertificatesNotFoundError(Exception):
    """A variable names a file of certificates that is not there; its text is for messages."""


def ca_bundle() -> str | bool:
    """Return the file or folder of trusted authorities; True for those that come with certifi.

    Raises:
        CertificatesNotFoundError: what the environment names is not there.
    """
    for variable in VARIABLES:
        path = os.environ.get(variable, "").strip()
        if path and not Path(path).exists():
            raise CertificatesNotFoundError(f"{variable} names {path!r}, which is not there")
        if path:
            return path
    return True
