"""A page of `fake_label_studio.Host` whose server ends connections that clients keep."""


class EndsKeptConnections:
    """Answers each connection `answers` times, and closes it at the request after that."""

    def __init__(self, content, answers=1):
        self.content = content
        self.answers = answers
        self.answered = {}  # connection -> times
        self.left_unanswered = 0
        self.together = None

    def __call__(self, handler):
        times = self.answered.get(handler.connection, 0)
        if times == self.answers:
            self.left_unanswered += 1
            return  # the handler closes the connection
        self.answered[handler.connection] = times + 1
        if self.together:
            self.together.wait()
        handler.close_connection = False
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(self.content)))
        handler.end_headers()
        handler.wfile.write(self.content)
