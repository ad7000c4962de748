"""Names that resolve as a test says, and fetches that may reach what a test lists."""

import socket

import image_sources

EVERYTHING = "0.0.0.0/0,::/0"
PUBLIC = "93.184.215.14"


class Names:
    """A resolver: for each name the addresses of its first, second ... look-up."""

    def __init__(self, monkeypatch):
        self.answers = {}
        self.asked = []
        self._getaddrinfo = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._resolve)

    def _resolve(self, host, *more, **named):
        if host not in self.answers:
            return self._getaddrinfo(host, *more, **named)
        answers = self.answers[host]
        addresses = answers[min(self.asked.count(host), len(answers) - 1)]
        self.asked.append(host)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            entry for address in addresses for entry in self._getaddrinfo(address, *more, **named)
        ]


def fetch(uri, *, allow="", **named):
    """`image_sources.fetch`, but only from the hosts of `allow`."""
    return image_sources.fetch(uri, allow=allow, **named)


def fetch_from(label_studio, uri, *, allow="", **settings):
    """`image_sources.fetch_from`, but only from there and the hosts of `allow`."""
    return image_sources.fetch_from(label_studio, uri, allow=allow, **settings)
