import io
from base64 import b64encode

import numpy as np
import pytest
from fake_model import png
from PIL import Image

from backend.core.errors import ImageUndecodableError, ImageUnreachableError
from backend.datasets.file_names import FileNames
from backend.datasets.image_addresses import TaskImage
from backend.datasets.image_files import ImageFiles, Transfer
from backend.images.fetch import ImageLoader
from backend.label_studio.connections import Connections
from backend.settings.settings import Settings

UPLOAD = "/data/upload/4/6540a205-cat.png"


def image_files(transfer, root=None):
    settings = Settings()
    loader = ImageLoader(settings, Connections(settings))
    return ImageFiles(transfer, loader, root, max_pixels=settings.max_pixels)


def data_uri(content):
    return f"data:image/png;base64,{b64encode(content).decode()}"


def turned_jpeg(height, width):
    """A JPEG of two halves that EXIF orientation 6 turns clockwise: the upper half was left."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", exif=exif, quality=95)
    return buffer.getvalue()


def test_known_size_needs_no_file():
    found = image_files(Transfer.NONE).find(TaskImage(1, UPLOAD), (40, 60))
    assert (found.size_hw, found.content) == ((40, 60), None)


def test_unknown_size_is_read_from_the_file():
    image = TaskImage(1, data_uri(png(40, 60)))
    assert image_files(Transfer.NONE).find(image, None).size_hw == (40, 60)


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        pytest.param(UPLOAD, "upload/4/6540a205-cat.png", id="media-folder"),
        pytest.param(UPLOAD, "6540a205-cat.png", id="stored-name"),
        pytest.param(UPLOAD, "cat.png", id="uploaded-name"),
        pytest.param("/data/local-files/?d=a%20b/cat.png", "a b/cat.png", id="local-file"),
        pytest.param("http://host/x/cat.png?signature=1", "cat.png", id="url"),
        pytest.param("s3://bucket/folder/cat.png", "folder/cat.png", id="cloud"),
    ],
)
def test_local_file_is_found_below_the_root(tmp_path, uri, place):
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(40, 60))
    found = image_files(Transfer.COPY, tmp_path).find(TaskImage(1, uri), (40, 60))
    assert found.content == path.resolve()


@pytest.mark.parametrize(
    "uri",
    [
        pytest.param("/data/local-files/?d=../secret.png", id="dots"),
        pytest.param("/data/local-files/?d=%2e%2e/secret.png", id="encoded-dots"),
        pytest.param("/data/local-files/?d=link/secret.png", id="link"),
        pytest.param("/data/local-files/?d=a%00/secret.png", id="nul"),
    ],
)
def test_nothing_outside_the_root_is_read(tmp_path, uri):
    (tmp_path / "secret.png").write_bytes(png(4, 4))
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(ImageUnreachableError, match="--image-root"):
        image_files(Transfer.COPY, root).find(TaskImage(1, uri), (4, 4))


def test_file_that_is_no_image_is_named(tmp_path):
    (tmp_path / "cat.png").write_bytes(b"<html>")
    with pytest.raises(ImageUndecodableError, match="image of task 7: an HTML page"):
        image_files(Transfer.COPY, tmp_path).find(TaskImage(7, "http://host/cat.png"), (4, 4))


@pytest.mark.parametrize("transfer", [Transfer.DOWNLOAD, Transfer.COPY, Transfer.LINK])
def test_placed_file_has_the_bytes_of_the_image(tmp_path, transfer):
    content = png(40, 60)
    root = tmp_path / "root"
    root.mkdir()
    (root / "cat.png").write_bytes(content)
    uri = data_uri(content) if transfer is Transfer.DOWNLOAD else "http://host/cat.png"
    files = image_files(transfer, root)
    target = tmp_path / "out" / "images" / "a.png"
    files.place(files.find(TaskImage(1, uri), (40, 60)), target, name="image")
    assert target.read_bytes() == content
    assert target.is_symlink() == (transfer is Transfer.LINK)
    assert [path.name for path in target.parent.iterdir()] == ["a.png"]


@pytest.mark.parametrize("transfer", [Transfer.COPY, Transfer.LINK])
def test_image_that_exif_turns_is_placed_upright(tmp_path, transfer):
    (tmp_path / "cat.jpg").write_bytes(turned_jpeg(20, 40))
    files = image_files(transfer, tmp_path)
    found = files.find(TaskImage(1, "http://host/cat.jpg"), (40, 20))
    assert found.size_hw == (40, 20)
    target = tmp_path / "out.jpg"
    files.place(found, target, name="image")
    with Image.open(target) as placed:
        assert placed.size == (20, 40)
        assert not placed.getexif()
        pixels = np.asarray(placed)
    assert pixels[:19].min() > 200
    assert pixels[21:].max() < 50


@pytest.mark.parametrize(
    ("image", "name"),
    [
        pytest.param(TaskImage(1, UPLOAD), "cat.png", id="upload"),
        pytest.param(
            TaskImage(1, "http://h/0123abcd-cat.png"), "0123abcd-cat.png", id="only-uploads-have-it"
        ),
        pytest.param(TaskImage(1, "/data/local-files/?d=a/b/c.jpg"), "c.jpg", id="local-file"),
        pytest.param(TaskImage(1, "http://h/x%20y.jpg?k=v#z"), "x y.jpg", id="url"),
        pytest.param(TaskImage(1, "s3://bucket/a/b.jpg"), "b.jpg", id="cloud"),
        pytest.param(TaskImage(1, data_uri(b"x")), "task_1", id="data-uri"),
        pytest.param(TaskImage(1, "http://h/a.jpg", file_name="x/y.jpg"), "x/y.jpg", id="imported"),
        pytest.param(
            TaskImage(1, "http://h/a.jpg", file_name="../y.jpg"), "a.jpg", id="imported-outside"
        ),
        pytest.param(TaskImage(1, "http://h/a%3Ab%2Fc.jpg"), "c.jpg", id="encoded-slash"),
        pytest.param(TaskImage(1, "http://h/..%5C..%5Cc.jpg"), "_.._c.jpg", id="backslashes"),
        pytest.param(TaskImage(5, "http://h/"), "task_5", id="no-name"),
        pytest.param(TaskImage(5, "http://h/\ud800.jpg"), "_.jpg", id="half-a-character"),
        pytest.param(
            TaskImage(5, "http://h/a.jpg", file_name="\ud800.jpg"), "a.jpg", id="imported-half"
        ),
    ],
)
def test_image_keeps_its_name(image, name):
    assert FileNames().name(image) == name


@pytest.mark.parametrize(
    "long",
    [
        pytest.param("a" * 300, id="letters"),
        pytest.param("猫" * 100, id="characters-of-three-bytes"),
        pytest.param("a." + "b" * 300, id="ending"),
        pytest.param("/".join("a" * 300), id="folders"),
    ],
)
def test_long_name_is_cut_to_what_a_folder_holds(tmp_path, long):
    picture = png(40, 60)
    (tmp_path / "cat.png").write_bytes(picture)
    files = image_files(Transfer.COPY, tmp_path)
    found = files.find(TaskImage(1, "http://host/cat.png"), (40, 60))
    names = FileNames()
    for image in (TaskImage(1, f"http://h/{long}.png"), TaskImage(1, "", file_name=long)):
        for _ in range(2):
            target = tmp_path / "out" / names.name(image, files.written_format(found.header))
            files.place(found, target, name="image")
            assert target.read_bytes() == picture


def test_every_image_has_a_name_of_its_own():
    names = FileNames()
    uploads = [f"/data/upload/1/{prefix}-a.jpg" for prefix in ("00000001", "00000002")]
    assert [names.name(TaskImage(1, uri)) for uri in uploads] == ["a.jpg", "00000002-a.jpg"]
    assert [names.name(TaskImage(number, "http://h/A.jpg")) for number in (3, 4)] == [
        "A_3.jpg",
        "A_4.jpg",
    ]


def test_stems_differ_where_label_files_go_with_them():
    names = FileNames(for_training=True)
    assert names.name(TaskImage(1, "http://h/a.jpg")) == "a.jpg"
    assert names.name(TaskImage(2, "http://h/a.png")) == "a_2.png"


def test_twenty_thousand_images_of_one_name_have_names_of_their_own():
    names = FileNames()
    images = (TaskImage(n // 100, f"s3://b/{n}/image.jpg", n % 100) for n in range(20_000))
    assert len({names.name(image) for image in images}) == 20_000
