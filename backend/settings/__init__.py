"""Every environment variable."""
