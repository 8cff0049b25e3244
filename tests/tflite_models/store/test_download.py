"""Downloads from a server that misbehaves: resumed, or given up with one clear line."""

import hashlib
import socket
import threading
from base64 import b64encode

import pytest

from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.store.download import ATTEMPTS, download, split_user


@pytest.fixture
def fetch(site, tmp_path, archive, monkeypatch):
    monkeypatch.setattr("stemd.tflite_models.store.download._CHUNK_BYTES", 100)

    def fetch(url=None, on_progress=lambda *_: None, **bound):
        sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
        url = url or f"{site.url}/2stems.tar.gz"
        return download(url, sha256, tmp_path, on_progress, retry_delay_s=0, **bound)

    return fetch


def test_the_content_arrives(site, fetch, tmp_path):
    path = fetch()
    assert path == tmp_path / "2stems.tar.gz"
    assert path.read_bytes() == site.content
    assert site.asked == [("/2stems.tar.gz", None)]


PASSWORD = "s3cret%40"


def with_user(site):
    return f"{site.url.replace('//', f'//anna:{PASSWORD}@')}/2stems.tar.gz"


def test_a_user_and_password_are_for_the_server_alone(site, fetch):
    site.plan = ["cut 1000", "away"]
    assert fetch(with_user(site)).read_bytes() == site.content
    known = f"Basic {b64encode(b'anna:s3cret@').decode()}"
    assert site.users == [known, known, None], "elsewhere they are not given"


@pytest.mark.parametrize("plan", [["404"], ["length x"], ["to ftp://x"], ["endless"], ["no"]])
def test_no_error_names_a_password(site, fetch, plan):
    site.plan, site.content = plan, b"other"
    with pytest.raises(ModelError) as caught:
        fetch(with_user(site), most_bytes=10_000)
    assert str(caught.value).startswith(f"{site.url}/2stems.tar.gz: ")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "without", "user"),
    [
        ("http://a/b@c", "http://a/b@c", ""),
        ("ftp://anna:x@a/b", "ftp://a/b", "anna:x"),
        ("anna:x@a/b", "a/b", "anna:x"),
        ("https://anna:x@y@a:1/b", "https://a:1/b", "anna:x@y"),
    ],
)
def test_the_user_stands_before_the_host(url, without, user):
    assert split_user(url) == (without, user)


def test_a_cut_connection_is_resumed_where_it_broke(site, fetch):
    site.plan = ["cut 1000", "cut 500"]
    assert fetch().read_bytes() == site.content
    assert [wanted for _, wanted in site.asked] == [None, "bytes=1000-", "bytes=1500-"]


def test_a_server_without_ranges_is_asked_for_everything_again(site, fetch):
    site.plan = ["cut 1000", "no ranges"]
    assert fetch().read_bytes() == site.content
    assert len(site.asked) == 2


def test_a_download_that_gets_on_is_never_given_up(site, fetch):
    site.plan = ["cut 100"] * (2 * ATTEMPTS)
    assert fetch().read_bytes() == site.content
    assert len(site.asked) == 2 * ATTEMPTS + 1


def test_a_download_that_gets_nowhere_is_given_up(site, fetch, tmp_path):
    site.plan = ["no ranges cut 1000"] * 100
    with pytest.raises(ModelError, match=r"2stems\.tar\.gz: the connection broke, 5 times at the"):
        fetch()
    assert len(site.asked) == ATTEMPTS + 1
    assert not list(tmp_path.iterdir())


def test_a_redirect_is_followed(site, fetch):
    site.plan = ["away", "cut 1000", "away"]
    assert fetch().read_bytes() == site.content
    assert site.asked[1] == ("/elsewhere.tar.gz", None)
    assert site.asked[3] == ("/elsewhere.tar.gz", "bytes=1000-")


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_a_refusal_is_told_at_once(site, fetch, tmp_path, status):
    site.plan = [str(status)]
    with pytest.raises(ModelError, match=rf"/2stems\.tar\.gz: the server answers {status} \w+"):
        fetch()
    assert len(site.asked) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("length", ["many", "-1", "1.5", ""])
def test_a_length_that_is_no_number_is_refused(site, fetch, tmp_path, length):
    site.plan = [f"length {length}"]
    with pytest.raises(
        ModelError,
        match=rf"gz: cannot be fetched \(the server says Content-Length: {length}, which must be",
    ):
        fetch()
    assert not list(tmp_path.iterdir())


def test_other_content_is_refused(site, fetch, tmp_path):
    site.content = b"something else"
    found = hashlib.sha256(site.content).hexdigest()
    with pytest.raises(
        ModelError, match=rf"has sha256 {found}, expected \w{{64}}; it was not used"
    ):
        fetch()
    assert not list(tmp_path.iterdir())


def test_an_unreachable_server_is_told_at_once(fetch, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("it waited"))
    with socket.socket() as silent:  # it does not listen, and no other test's server gets its port
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        with pytest.raises(ModelError, match="the server cannot be reached; is the network up"):
            fetch(f"http://127.0.0.1:{port}/2stems.tar.gz")


@pytest.mark.parametrize("refuses", ["all", "the tunnel"])
def test_a_proxy_that_refuses_is_named_with_the_way_round(refuses, fetch, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        address = f"127.0.0.1:{proxy.getsockname()[1]}"
        if refuses == "all":
            proxy.close()
        else:
            threading.Thread(target=refuse_tunnel, args=(proxy,)).start()
        monkeypatch.setenv("https_proxy", f"http://anna:s3cret@{address}")
        monkeypatch.delenv("no_proxy", raising=False)
        with pytest.raises(
            ModelError, match=rf"the proxy http://{address} does not let .*https_proxy .*--from"
        ) as caught:
            fetch("https://nowhere.invalid/2stems.tar.gz")
    assert "s3cret" not in str(caught.value)


def refuse_tunnel(proxy):
    with proxy.accept()[0] as connection:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize("page", [b"<!DOCTYPE html>", b" <html lang=en>", b"<!-- x --><HEAD>"])
def test_a_login_page_in_place_of_the_file_is_told_as_one(page, site, fetch, tmp_path):
    site.content = page + b"<p>Welcome to our hotel"
    with pytest.raises(ModelError, match=r"a web page came in place of the file; .*login.*--from"):
        fetch()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("url", ["models/2stems.tar.gz", "ftp://somewhere/2stems.tar.gz"])
def test_what_is_no_web_address_is_refused(fetch, url):
    with pytest.raises(ModelError, match=rf"{url}: cannot be fetched"):
        fetch(url)


def test_progress_is_reported_after_each_chunk(site, fetch):
    site.plan = ["cut 250", "no ranges"]
    reported = []
    fetch(on_progress=lambda *each: reported.append(each))
    whole = len(site.content)
    assert reported[:4] == [(100, whole), (200, whole), (250, whole), (100, whole)]
    assert reported[-1] == (whole, whole)
    assert len(reported) == 3 + -(-whole // 100)


@pytest.mark.parametrize(
    "address",
    [
        "http://[::1",
        "http://" + "a" * 300 + ".org/x",
        "http://a..b/",
        "http://*.example/",
        "http://localhost:99999/",
        "http://localhost:x/",
        "http://\xff/",
        "file:///etc/passwd",
        "ftp://localhost/x",
    ],
)
def test_a_redirect_to_what_is_no_address_is_one_clear_line(site, fetch, address, tmp_path):
    site.plan = [f"to {address}"]
    with pytest.raises(ModelError, match=r"2stems\.tar\.gz: ") as caught:
        fetch()
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("plan", ["endless", "length 999999999999", "length " + "9" * 5000])
def test_more_than_an_archive_can_have_is_not_fetched(site, fetch, plan, tmp_path):
    site.plan = [plan]
    with pytest.raises(
        ModelError, match=r"the server sends more than 3 MiB; it is no|Content-Length: 99"
    ):
        fetch(most_bytes=3 << 20)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("plan", ["trickle 0", "trickle 500"])
def test_a_server_of_a_byte_now_and_then_is_given_up(site, fetch, plan, monkeypatch, tmp_path):
    monkeypatch.setattr("stemd.tflite_models.store.download.SLOW_S", 0.5)
    site.plan = [plan] * 9
    with pytest.raises(ModelError, match="the server sends less than a kilobyte a second"):
        fetch()
    assert not list(tmp_path.iterdir())
