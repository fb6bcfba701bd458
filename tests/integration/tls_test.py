"""TLS as clients see it: OpenSSL's own client, OpenAI's SDK, and certificates that are replaced."""

import signal
import ssl
import subprocess

import httpx2
import openai
import pytest

from spillway_process import BINARY, wait_until

RELOAD_SECONDS_MAX = 30


def make_certificate(folder, name):
    """A self-signed certificate for 127.0.0.1 in cert.pem and key.pem, put there in one instant each."""
    for part in ("cert", "key"):
        (folder / f"{part}.pem").unlink(missing_ok=True)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-days", "2", "-subj",
         f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True, timeout=60)


def tls_arguments(folder):
    return ["--tls-cert", str(folder / "cert.pem"), "--tls-key", str(folder / "key.pem")]


def openssl_client(server, *arguments, request=b""):
    result = subprocess.run(
        ["openssl", "s_client", "-connect", f"{server.host}:{server.port}", "-ign_eof", *arguments],
        input=request, capture_output=True, timeout=60, check=False)
    return (result.stdout + result.stderr).decode(errors="replace")


def certificate_name(server):
    output = openssl_client(server, request=b"GET /healthz HTTP/1.0\r\n\r\n")
    return [line for line in output.splitlines() if line.startswith("subject=")][0]


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    make_certificate(folder, "first")
    return folder


@pytest.fixture(scope="module")
def tls_server(tls, tmp_path_factory):
    from spillway_process import SpillwayProcess
    with SpillwayProcess(tmp_path_factory.mktemp("tls_server") / "data",
                         *tls_arguments(tls)) as process:
        yield process.wait_ready()


def test_openssl_gets_an_answer_and_modern_parameters(tls_server):
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    output = openssl_client(tls_server, "-alpn", "h2,http/1.1", request=request)
    assert "HTTP/1.1 200 OK" in output
    assert "TLSv1.3" in output
    assert "ALPN protocol: http/1.1" in output
    older = openssl_client(tls_server, "-tls1_2", request=request)
    assert "HTTP/1.1 200 OK" in older
    assert "ECDHE" in older and "Secure Renegotiation IS supported" in older
    for option in (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], ["-tls1_2", "-cipher", "AES128-SHA"]):
        assert "HTTP/1.1 200" not in openssl_client(tls_server, *option, request=request)


def test_sdk_streams_and_checks_the_certificate(tls_server, tls):
    context = ssl.create_default_context(cafile=str(tls / "cert.pem"))
    with httpx2.Client(verify=context) as http_client:
        client = openai.OpenAI(base_url=tls_server.base_url, api_key=tls_server.token,
                               max_retries=0, http_client=http_client)
        chunks = list(client.chat.completions.create(
            model=client.models.list().data[0].id, stream=True, max_tokens=16, temperature=0,
            messages=[{"role": "user", "content": "Count to five."}]))
    assert chunks[-1].choices[0].finish_reason
    with pytest.raises(openai.APIConnectionError):
        openai.OpenAI(base_url=tls_server.base_url, api_key=tls_server.token,
                      max_retries=0).models.list()


def test_new_certificate_is_taken_up_and_a_bad_one_is_not(tls_server, tls):
    make_certificate(tls, "second")
    wait_until(lambda: "second" in certificate_name(tls_server), RELOAD_SECONDS_MAX,
               tls_server.log)
    (tls / "key.pem").write_text("nonsense")
    wait_until(lambda: "the TLS certificate known so far stays" in tls_server.log(),
               RELOAD_SECONDS_MAX, tls_server.log)
    assert "second" in certificate_name(tls_server)
    make_certificate(tls, "third")
    tls_server.send_signal(signal.SIGHUP)
    wait_until(lambda: "third" in certificate_name(tls_server), RELOAD_SECONDS_MAX, tls_server.log)


def test_bad_files_at_the_start_are_named(tmp_path):
    make_certificate(tmp_path, "x")
    (tmp_path / "key.pem").write_text("nonsense")

    def says(*arguments):
        result = subprocess.run(
            [BINARY, "serve", "--worker", "unix:/nowhere", "--listen", "127.0.0.1:0", "--data-dir",
             tmp_path / "data", *arguments], capture_output=True, text=True, timeout=60, check=False)
        assert result.returncode == 1
        return result.stderr

    assert "key.pem holds no key" in says(*tls_arguments(tmp_path))
    (tmp_path / "key.pem").unlink()
    assert "can't read the TLS key" in says(*tls_arguments(tmp_path))
    assert "give both" in says("--tls-cert", "cert.pem")
