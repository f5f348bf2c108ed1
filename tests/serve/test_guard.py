"""Who may ask, and how much: hosts, origins, tokens, sizes, times, and what is not to be had at all."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from serving import example, serving

from crystallite.errors import CrystalliteError
from crystallite.serve.settings import Limits, ServeSettings

TOKEN = "correct-horse-battery"
LIMITS = Limits(body=20_000, structures=3, atoms=100, seconds=1.0, waiting=2)


@pytest.fixture(scope="module")
def strict():
    """A client, without the token, of a server that takes little and wants a token."""
    with serving(ServeSettings(token=TOKEN, hosts=("crystals.example.org",), limits=LIMITS)) as client:
        yield client


@pytest.fixture
def trusted(strict: httpx.Client):
    """A client of the same server that knows the token."""
    with httpx.Client(
        base_url=strict.base_url, timeout=60, headers={"Authorization": f"Bearer {TOKEN}"}
    ) as client:
        yield client


def test_only_its_own_names_are_answered(strict: httpx.Client) -> None:
    port = strict.base_url.port
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", "CRYSTALS.example.org"):
        assert strict.get("/health", headers={"Host": host}).status_code == 200
    for host in ("evil.example.org", f"localhost.evil.example.org:{port}", "[::2]:80", ""):
        answer = strict.get("/health", headers={"Host": host})
        assert answer.status_code == 400
        if host:
            assert "--allow-host" in answer.json()["detail"]


def test_pages_of_other_sites_are_refused(trusted: httpx.Client) -> None:
    own = f"http://127.0.0.1:{trusted.base_url.port}"
    question = {"structures": [example()], "models": ["band_gap"]}
    for origin, status in ((own, 200), ("http://evil.example.org", 403), ("null", 403)):
        answer = trusted.post("/api/v1/predict", json=question, headers={"Origin": origin})
        assert answer.status_code == status
        assert "access-control-allow-origin" not in answer.headers
    preflight = {"Origin": "http://evil.example.org", "Access-Control-Request-Method": "POST"}
    assert trusted.options("/api/v1/predict", headers=preflight).status_code == 403


def test_nothing_but_the_page_is_told_without_the_token(strict: httpx.Client, trusted: httpx.Client) -> None:
    for path in ("/api/v1/models", "/api/v1/runs", "/metrics", "/api/v1/openapi.json"):
        assert trusted.get(path).status_code == 200, path
        for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}):
            answer = strict.get(path, headers=header)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"] == "Bearer"
    assert strict.get("/").status_code == 200
    assert strict.get("/health").status_code == 200


def test_sizes_are_limited_with_a_reason(trusted: httpx.Client) -> None:
    long = {"structures": [{"name": "x.cif", "text": "x" * 30_000}]}
    answer = trusted.post("/api/v1/predict", json=long)
    assert (answer.status_code, "20,000 bytes" in answer.json()["detail"]) == (413, True)
    pieces = (b"x" * 1_000 for _ in range(30))  # nobody says beforehand how long it is
    assert trusted.post("/api/v1/predict", content=pieces).status_code == 413
    many = trusted.post("/api/v1/predict", json={"structures": [example()] * 4})
    assert (many.status_code, "takes 3 at once" in many.json()["detail"]) == (413, True)
    large = trusted.post("/api/v1/predict", json={"structures": [example("garnet.cif")]})
    assert (large.status_code, "160 atoms" in large.json()["detail"]) == (422, True)


def test_a_line_of_a_stream_is_limited_and_the_lines_are_not(trusted: httpx.Client) -> None:
    line = json.dumps(example()) + "\n"
    n_lines = 2 * LIMITS.body // len(line)
    answer = trusted.post("/api/v1/predict/stream?models=band_gap", content=(line * n_lines).encode())
    assert answer.text.count('"properties"') == n_lines
    answer = trusted.post("/api/v1/predict/stream?models=band_gap", content=b"x" * 30_000)
    assert [json.loads(line)["source"] for line in answer.text.splitlines()] == ["line 1"]


def test_a_slow_body_is_given_up(trusted: httpx.Client) -> None:
    def slowly():
        for _ in range(10):
            yield b" "
            time.sleep(0.4)

    started = time.monotonic()
    try:
        status = trusted.post("/api/v1/predict", content=slowly()).status_code
    except httpx.TransportError:
        status = 408  # the server has answered and closed while we were still sending
    assert status == 408
    assert time.monotonic() - started < 10


def test_too_many_at_once_are_asked_to_come_again(trusted: httpx.Client) -> None:
    host, port = urlsplit(str(trusted.base_url)).hostname, trusted.base_url.port
    head = (
        f"POST /api/v1/predict/stream?models=band_gap HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    held = []
    try:
        for _ in range(LIMITS.waiting):
            connection = socket.create_connection((host, port))
            connection.sendall(head.encode() + b"1\r\n \r\n")
            held.append(connection)
        time.sleep(0.3)
        answer = trusted.post("/api/v1/predict", json={"structures": [example()]})
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
    finally:
        for connection in held:
            connection.close()
    time.sleep(1.5)
    assert trusted.post("/api/v1/predict", json={"structures": [example()]}).status_code == 200


def test_no_file_of_the_server_can_be_read(client: httpx.Client) -> None:
    for path in (
        "/static/../settings.py", "/static/%2e%2e/settings.py", "/static/..%2fsettings.py", "/static/",
        "/static/%2fetc/passwd", "/api/v1/runs/..%2f..%2fetc", "/api/v1/models/%2e%2e%2fper-atom",
    ):  # fmt: skip
        with socket.create_connection(("127.0.0.1", client.base_url.port)) as connection:
            connection.sendall(
                f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
            )
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 404"), path


def test_what_is_sent_is_never_written(client: httpx.Client, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["../x.cif", "/tmp/x.cif", "C:\\x.cif", "a/b/c.cif", "\0.cif", "x" * 900 + ".cif"]
    question = {"structures": [{**example(), "name": name} for name in names], "models": ["band_gap"]}
    answer = client.post("/api/v1/predict", json=question)
    assert len(answer.json()["predictions"]) == len(names)
    assert not any("/" in one["source"] for one in answer.json()["predictions"])
    assert list(tmp_path.iterdir()) == []


def test_answers_forbid_what_a_page_does_not_need(client: httpx.Client) -> None:
    for path in ("/", "/api/v1/models", "/nowhere"):
        headers = client.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"host": "0.0.0.0"}, "lets other machines in"),
        ({"host": "::"}, "lets other machines in"),
        ({"host": "crystals.example.org"}, "lets other machines in"),
        ({"token": "short"}, "16 ASCII characters"),
        ({"token": "é" * 20}, "16 ASCII characters"),
        ({"runs": ("nowhere",)}, "nowhere: no such folder"),
    ],
)
def test_unsafe_settings_are_refused(settings: dict, words: str) -> None:
    with pytest.raises(CrystalliteError, match=words):
        ServeSettings(**settings).check()


@pytest.mark.parametrize("settings", [{}, {"host": "::1"}, {"host": "0.0.0.0", "token": TOKEN},
                                      {"host": "0.0.0.0", "open_to_all": True}])  # fmt: skip
def test_safe_settings_are_taken(settings: dict) -> None:
    ServeSettings(**settings).check()


def test_eight_clients_with_odd_bodies_leave_the_server_well(client: httpx.Client) -> None:
    bodies = [
        b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"structures": 1}', b"[" * 100_000,
        b'{"structures": [{"text": "' + b"9" * 10_000 + b'"}]}',
        json.dumps({"structures": [{"name": "x.json", "text": "[" * 100_000}]}).encode(),
        json.dumps({"structures": [{"name": "x.xyz", "text": "99999999999\n"}]}).encode(),
    ]  # fmt: skip
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda body: client.post("/api/v1/predict", content=body), bodies * 3))
    assert {answer.status_code for answer in answers} == {422}
    assert all(answer.json()["detail"] for answer in answers)
