"""The one HTTP stack: exchanges, connection pools, address policy, certificates, redirects."""
