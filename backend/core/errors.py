"""Everything that can go wrong in the backend, as a tree, each with its HTTP status.

    BackendError                      500
    ├── SettingsError                 (stops the start)
    ├── RequestError                  400  the body is not what this API takes
    ├── RequestTooLargeError          413  more bytes, tasks or regions than the settings allow
    ├── UnauthorizedError             401  Basic auth is on and was not given
    ├── CrossSiteError                403  another site's page sent what only this one's may
    ├── UnknownImageError             404  no tier has the image that a click of the page is on
    ├── LabelingConfigError           422  the project's labeling config cannot work
    ├── PromptError                   422  a key point or rectangle cannot be used
    ├── ImageError                    422
    │   ├── ImageUnreachableError          not found, refused, timed out, no address
    │   ├── ImageUndecodableError          fetched, but not a picture
    │   └── ImageTooLargeError             more bytes or pixels than the settings allow
    ├── MaskError                     422
    │   ├── MaskShapeError                 a mask that is not (H, W)
    │   ├── RunLengthError                 an rle that is damaged or of another size
    │   ├── BitmaskError                   a bitmask's PNG that is damaged or of another size
    │   └── PolygonError                   a ring that encloses nothing, or is off the image
    ├── DatasetError                  422  labelled data that cannot be read or written
    │   └── RegionError                    one region of it
    ├── BusyError                     503  more clicks at once than there is room for
    └── LabelStudioError              502  Label Studio's API refused or did not answer
        └── LabelStudioRefusalError        it says that the call was wrong, and did nothing

Label Studio shows nobody the body of an error, only (sometimes) the status line's reason phrase.
So each error carries both: `reason`, a few words for the status line, and `message` with `remedy`,
the whole story for the JSON body and the log.
"""


class BackendError(Exception):
    """Base of all errors of this package.

    Args:
        message: what was expected and what came, naming the thing (task, field, URL, value).
        remedy: what the reader can do about it, as an imperative sentence.
        reason: a few words for the HTTP status line; the class's own phrase if not given.
    """

    status = 500
    code = "internal_error"
    reason = "Internal error"

    def __init__(self, message: str, *, remedy: str, reason: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        if reason is not None:
            self.reason = reason

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}"


class SettingsError(BackendError):
    """One or more settings are wrong; `message` lists them all."""

    code = "settings"
    reason = "Wrong settings"


class RequestError(BackendError):
    """The request's body does not have the shape that Label Studio sends."""

    status = 400
    code = "bad_request"
    reason = "Bad request"


class RequestTooLargeError(BackendError):
    """The request has more bytes, tasks or regions than the settings allow."""

    status = 413
    code = "request_too_large"
    reason = "Request too large"


class UnauthorizedError(BackendError):
    """Basic auth is configured and the request's credentials are missing or wrong."""

    status = 401
    code = "unauthorized"
    reason = "Basic auth required"


class CrossSiteError(BackendError):
    """A page of another site sent a request that only the page of this service may send."""

    status = 403
    code = "cross_site"
    reason = "Request from another site"


class UnknownImageError(BackendError):
    """A click of the page names an image that was never sent, or that every tier has dropped."""

    status = 404
    code = "unknown_image"
    reason = "Image not here any more, send it again"


class LabelingConfigError(BackendError):
    """The labeling config lacks something that masks need, or is not valid XML."""

    status = 422
    code = "labeling_config"
    reason = "Labeling config cannot work"


class PromptError(BackendError):
    """A prompt of the context cannot be turned into pixels or into an object."""

    status = 422
    code = "prompt"
    reason = "Prompt cannot be used"


class ImageError(BackendError):
    """The task's image cannot be used."""

    status = 422
    code = "image"
    reason = "Image cannot be used"


class ImageUnreachableError(ImageError):
    """The image's bytes could not be fetched."""

    code = "image_unreachable"
    reason = "Image not reachable"


class ImageUndecodableError(ImageError):
    """The bytes were fetched and are not a picture that can be decoded."""

    code = "image_undecodable"
    reason = "Image not decodable"


class ImageTooLargeError(ImageError):
    """The image has more bytes or pixels than the settings allow."""

    code = "image_too_large"
    reason = "Image too large"


class MaskError(BackendError, ValueError):
    """A mask, or what a region stores of one, that the codecs cannot work on."""

    status = 422
    code = "mask"
    reason = "Mask cannot be used"


class MaskShapeError(MaskError):
    """A mask is not 2-D, or one of its sides is 0."""

    code = "mask_shape"


class RunLengthError(MaskError):
    """A run-length list is damaged, or belongs to a mask of another size."""

    code = "run_length"


class BitmaskError(MaskError):
    """A bitmask's data URL is no PNG, is damaged, or belongs to a mask of another size."""

    code = "bitmask"


class PolygonError(MaskError):
    """A ring has too few points or infinite ones, or lies far off the image."""

    code = "polygon"


class DatasetError(BackendError):
    """Labelled data that goes out of Label Studio or into it cannot be read or written."""

    status = 422
    code = "dataset"
    reason = "Data set cannot be used"


class RegionError(DatasetError):
    """A region of a task has no shape that a data set could hold."""

    code = "region"
    reason = "Region cannot be used"


class BusyError(BackendError):
    """Too many requests wait already; the same one may succeed in a moment."""

    status = 503
    code = "busy"
    reason = "Busy, click again in a moment"


class LabelStudioError(BackendError):
    """Label Studio's API refused a call or did not answer it."""

    status = 502
    code = "label_studio"
    reason = "Label Studio call failed"


class LabelStudioRefusalError(LabelStudioError):
    """Label Studio's API answered 4xx: the call was wrong, and nothing came of it."""
