"""What may be behind an address in place of a good Redis: nonsense, or one that is far too slow."""

import socket
import threading
from contextlib import suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer

DROP_INTERVAL_S = 0.02


class TcpServer:
    """Sends `answer(what came)` to whatever comes."""

    def __init__(self, answer):
        self._answer = answer

    @property
    def port(self):
        return self._server.server_address[1]

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self):
        owner = self

        class Handler(BaseRequestHandler):
            def handle(self):
                with suppress(OSError):
                    owner.serve(self.request)

        self._server = ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def serve(self, client):
        while sent := client.recv(2**16):
            client.sendall(self._answer(sent))


class TcpProxy(TcpServer):
    """Passes everything on to a port, its answers in time or late."""

    def __init__(self, port):
        super().__init__(None)
        self._port = port
        self._drips = False
        self._delay_s = 0.0
        self._flows = threading.Event()

    def drip(self):
        """Pass answers on byte by byte."""
        self._flows.clear()
        self._drips = True

    def delay(self, seconds):
        """Pass answers on that much later."""
        self._flows.clear()
        self._delay_s = seconds

    def flow(self):
        """Pass answers on at once."""
        self._delay_s, self._drips = 0.0, False
        self._flows.set()

    def serve(self, client):
        with socket.create_connection(("127.0.0.1", self._port)) as server:
            back = threading.Thread(target=self._bring_back, args=(server, client), daemon=True)
            back.start()
            while sent := client.recv(2**16):
                server.sendall(sent)
            server.shutdown(socket.SHUT_WR)
            back.join()

    def _bring_back(self, server, client):
        with suppress(OSError):
            while answer := server.recv(2**16):
                if self._delay_s:
                    self._flows.wait(self._delay_s)
                while self._drips and answer:
                    client.sendall(answer[:1])
                    answer = answer[1:]
                    self._flows.wait(DROP_INTERVAL_S)
                client.sendall(answer)
