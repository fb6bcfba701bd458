"""TLS between a server and its workers over TCP: both show certificates, which may be replaced."""

import subprocess

import pytest

from answers import CHAT
from spillway_process import BINARY, READY_SECONDS_MAX, WorkerProcess, wait_until

BODY = {"messages": [{"role": "user", "content": "Hello"}], "temperature": 0, "max_tokens": 4}


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)


class Authority:
    """Roots of its own, and what it signs."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self._key, self.roots = folder / "ca-key.pem", folder / "ca.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", self._key, "-out", self.roots, "-days", "2", "-subj", f"/CN={folder.name}")

    def issue(self, into, host="127.0.0.1"):
        """cert.pem, key.pem and ca.pem in the folder `into`."""
        into.mkdir(exist_ok=True)
        request, extensions = into / "request.pem", into / "extensions"
        extensions.write_text(f"subjectAltName=IP:{host}\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                into / "key.pem", "-out", request, "-subj", f"/CN={into.name}")
        openssl("x509", "-req", "-in", request, "-CA", self.roots, "-CAkey", self._key,
                "-CAcreateserial", "-out", into / "cert.pem", "-days", "2", "-extfile", extensions)
        (into / "ca.pem").write_bytes(self.roots.read_bytes())
        return into


def files(prefix, folder):
    return [word for part in ("cert", "key", "ca")
            for word in (f"--{prefix}tls-{part}", str(folder / f"{part}.pem"))]


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture
def start_worker(tmp_path):
    started = []

    def start(folder):
        started.append(WorkerProcess(tmp_path / f"worker-{len(started)}.log", "127.0.0.1:0",
                                     *files("", folder)))
        return started[-1].wait_ready()

    yield start
    for worker in started:
        worker.stop()


def refuses(server):
    """Waits until the server has tried to talk to its worker, and found that it can't."""
    wait_until(lambda: "doesn't answer" in server.get("/readyz").text, READY_SECONDS_MAX,
               lambda: server.get("/readyz").text)
    return server.get("/readyz").status == 503


def test_both_show_certificates(start_server, start_worker, authority, tmp_path):
    worker = start_worker(authority.issue(tmp_path / "worker"))
    server = start_server("--worker", worker.address,
                          *files("worker-", authority.issue(tmp_path / "router"))).wait_ready()
    assert server.post(CHAT, BODY).status == 200


def test_strangers_get_no_answer(start_server, start_worker, authority, tmp_path):
    worker = start_worker(authority.issue(tmp_path / "worker"))
    strangers = Authority(tmp_path / "theirs")
    stranger = strangers.issue(tmp_path / "stranger")
    (stranger / "ca.pem").write_bytes(authority.roots.read_bytes())  # it believes the worker
    assert refuses(start_server("--worker", worker.address, name="plain").wait_listening())
    assert refuses(start_server("--worker", worker.address, *files("worker-", stranger),
                                name="stranger").wait_listening())


def test_a_certificate_for_another_host_is_not_believed(start_server, start_worker, authority,
                                                        tmp_path):
    worker = start_worker(authority.issue(tmp_path / "worker", host="127.0.0.2"))
    server = start_server("--worker", worker.address,
                          *files("worker-", authority.issue(tmp_path / "router")))
    assert refuses(server.wait_listening())


def test_new_files_are_taken_up(start_server, start_worker, authority, tmp_path):
    """Both ends begin with certificates of roots that the other doesn't know."""
    folder = Authority(tmp_path / "old").issue(tmp_path / "worker")
    router = Authority(tmp_path / "older").issue(tmp_path / "router")
    worker = start_worker(folder)
    server = start_server("--worker", worker.address, *files("worker-", router)).wait_listening()
    assert refuses(server)
    authority.issue(folder)
    authority.issue(router)
    server.wait_ready()
    assert server.post(CHAT, BODY).status == 200


def test_half_a_set_of_files_is_named(authority, tmp_path):
    folder = authority.issue(tmp_path / "worker")
    worker = WorkerProcess(tmp_path / "log", "127.0.0.1:0", *files("", folder)[:4])
    assert worker.wait_exit() != 0
    assert "--tls-ca" in worker.log()


@pytest.mark.parametrize("part, named", [("cert", "cert.pem holds no certificate"),
                                         ("key", "key.pem holds no key"),
                                         ("ca", "ca.pem holds no root certificate")])
def test_files_that_hold_nonsense_are_named(authority, tmp_path, part, named):
    folder = authority.issue(tmp_path / "ours")
    (folder / f"{part}.pem").write_text("nonsense")
    worker = WorkerProcess(tmp_path / "log", "127.0.0.1:0", *files("", folder))
    assert worker.wait_exit() == 1
    assert named in worker.log()
    server = subprocess.run(
        [BINARY, "serve", "--worker", "127.0.0.1:1", "--listen", "127.0.0.1:0", "--data-dir",
         tmp_path / "data", *files("worker-", folder)], capture_output=True, text=True, timeout=60,
        check=False)
    assert server.returncode == 1
    assert named in server.stderr
