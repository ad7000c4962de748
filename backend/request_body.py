"""A request whose body may break off: its chunks end in something else."""

from typing import Any

from flask import Request
from gunicorn.http.errors import ParseException

from backend.errors import RequestError


class FragileRequest(Request):
    """Flask's, with an error that names what gunicorn raises in the middle of a body.

    A client that is gone is an error of Werkzeug's already.
    """

    def get_data(self, *args: Any, **named: Any) -> Any:  # flask types it in overloads
        """Read the body, as Flask does.

        Raises:
            RequestError: it does not go on as the HTTP that it began as.
        """
        try:
            return super().get_data(*args, **named)
        except ParseException as error:
            raise RequestError(
                f"the request's body breaks off: {type(error).__name__}",
                remedy="send it again; if a proxy is in front, look into its log",
                reason="Body breaks off",
            ) from error
