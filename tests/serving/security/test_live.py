"""Both services as real processes: with a certificate, with tokens, and without either."""

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
import serving_kit
from monitor_kit import eventually
from parfocal_serving.security.headers import ALWAYS, HSTS
from security_kit import bearer, token

from parfocal.adapters.prometheus import alertmanager_config, prometheus_config
from parfocal.adapters.tokens import TokenStore

MONITOR = "parfocal_serving.monitor"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-made one for this machine, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(*pem))
    return folder / "certificate.pem", folder / "key.pem"


def told(state: Path, **more: str) -> dict[str, str]:
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("PARFOCAL_", "BENTOML_"))}
    return {**bare, "PARFOCAL_STATE": str(state), "OMP_NUM_THREADS": "1", **more}


def trusting(url: str, certificate: Path) -> httpx.Client:
    return httpx.Client(base_url=url, verify=ssl.create_default_context(cafile=str(certificate)), timeout=30)


def shakes_hands(port: int, certificate: Path, newest: ssl.TLSVersion) -> bool:
    """Whether a client that knows nothing newer gets through."""
    context = ssl.create_default_context(cafile=str(certificate))
    context.set_ciphers("ALL:@SECLEVEL=0")  # so that it is the server that says no
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = newest
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        try:
            context.wrap_socket(plain, server_hostname="localhost").close()
        except (ssl.SSLError, ConnectionError):
            return False
    return True


def old_tls_is_refused(port: int, certificate: Path) -> None:
    assert shakes_hands(port, certificate, ssl.TLSVersion.TLSv1_2)
    assert not shakes_hands(port, certificate, ssl.TLSVersion.TLSv1_1)


def up(client: httpx.Client) -> bool:
    try:
        return client.get("/livez", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def served(tmp_path: Path, certificate: tuple[Path, Path]) -> Iterator[httpx.Client]:
    """A monitor behind TLS."""
    token(tmp_path, "Ada", "operate")
    port = serving_kit.free_port()
    tls = {"PARFOCAL_TLS_CERTIFICATE": str(certificate[0]), "PARFOCAL_TLS_KEY": str(certificate[1])}
    child = subprocess.Popen([sys.executable, "-m", MONITOR, "--port", str(port)], env=told(tmp_path, **tls))
    try:
        with trusting(f"https://127.0.0.1:{port}", certificate[0]) as client:
            eventually(lambda: up(client), 90)
            yield client
    finally:
        child.terminate()
        child.wait(60)


def test_the_monitor_behind_tls_speaks_nothing_older_than_1_2(
    served: httpx.Client, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    port = served.base_url.port or 0
    old_tls_is_refused(port, certificate[0])
    answer = served.post("/api/session", json={"token": TokenStore(tmp_path / "tokens.json").rotate("Ada")[1]})
    assert answer.headers["Strict-Transport-Security"] == HSTS
    assert answer.headers["set-cookie"].startswith("__Host-parfocal=")
    assert "Secure" in answer.headers["set-cookie"]
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{port}/livez")


def test_the_segmenter_behind_tls_with_tokens_and_their_rotation(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    state = tmp_path / "state"
    serving_kit.promote(state, serving_kit.bundle(tmp_path / "bundle"), "1")
    word, other = token(state, "clinic", "segment"), token(state, "Ada", "annotate")
    port = serving_kit.free_port()
    words = [sys.executable, "-m", "bentoml", "serve", "parfocal_serving.segmenter.service:Segmenter", "--host",
             "127.0.0.1", "--port", str(port), "--ssl-certfile", str(certificate[0]), "--ssl-keyfile",
             str(certificate[1])]  # fmt: skip
    more = {"BENTOML_HOME": str(tmp_path / "bentoml"), "BENTOML_DO_NOT_TRACK": "True", "PARFOCAL_TOKEN": "service"}
    child = subprocess.Popen(words, env=told(state, **more), start_new_session=True)
    try:
        with trusting(f"https://127.0.0.1:{port}", certificate[0]) as client:
            eventually(lambda: up(client), 90)
            old_tls_is_refused(port, certificate[0])
            picture = {"image": ("p.jpg", serving_kit.jpeg(serving_kit.picture()), "image/jpeg")}
            for said, status in (({}, 401), (bearer(word[:-2] + "~~"), 401), (bearer(other), 403), (bearer(word), 200)):
                assert client.post("/segment", files=picture, headers=said).status_code == status, said
            assert [client.get("/metrics", headers=bearer(one)).status_code for one in (word, "service")] == [403, 200]
            for path in ("/", "/readyz", "/models", "/nothing", "/openapi.json", "/docs.json"):
                answer = client.get(path)
                assert not [name for name in ALWAYS if name not in answer.headers], path
                assert answer.headers["Strict-Transport-Security"] == HSTS
            successor = TokenStore(state / "tokens.json").rotate("clinic", overlap=0)[1]
            assert [client.get("/models", headers=bearer(one)).status_code for one in (word, successor)] == [401, 200]
    finally:
        child.terminate()
        child.wait(60)


@pytest.mark.parametrize(
    "words",
    [
        ["-m", MONITOR],
        ["-m", "bentoml", "serve", "parfocal_serving.segmenter.service:Segmenter", "--host", "127.0.0.1"],
    ],
    ids=["monitor", "segmenter"],
)
def test_without_tokens_and_not_open_a_service_ends_with_the_next_step(tmp_path: Path, words: list[str]) -> None:
    port = str(serving_kit.free_port())
    home = {"BENTOML_HOME": str(tmp_path / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"}
    ended = subprocess.run(
        [sys.executable, *words, "--port", port], env=told(tmp_path, **home), capture_output=True, text=True,
        timeout=90, check=False,
    )  # fmt: skip
    assert ended.returncode == 2, ended.stderr[-2000:]
    assert "next: parfocal token add" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_prometheus_and_alertmanager_are_told_the_token_and_the_certificate(tmp_path: Path) -> None:
    secret, pem = tmp_path / "token", tmp_path / "c.pem"
    scrapes = prometheus_config({"segmenter": 1, "monitor": 2}, tmp_path / "rules", None, secret, pem)["scrape_configs"]
    assert len(scrapes) == 2
    for scrape in scrapes:
        assert scrape["authorization"]["credentials_file"] == str(secret)
        assert (scrape["scheme"], scrape["tls_config"]) == ("https", {"ca_file": str(pem)})
    hook = alertmanager_config("https://m", secret, pem)["receivers"][1]["webhook_configs"][0]["http_config"]
    assert hook["tls_config"] == {"ca_file": str(pem)}
    assert "scheme" not in prometheus_config({"monitor": 2}, tmp_path, None, secret)["scrape_configs"][0]
