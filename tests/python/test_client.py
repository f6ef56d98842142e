"""The clients' sockets: silence, lost messages, wrong addresses. A bare ROUTER plays the peer that
loses things; what a coordinator answers is tested against a real one in tests/e2e."""

import asyncio
import threading

import msgpack
import pytest
import zmq

import drover
from drover import _protocol


@pytest.fixture
def router():
    context = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    socket.linger = 0
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    yield socket, f"tcp://127.0.0.1:{port}"
    socket.close()
    context.term()


def answer_after(socket, losses):
    """Answers the first request that comes after `losses` others were dropped."""
    def serve():
        for lost in range(losses + 1):
            assert socket.poll(10_000)
            peer, message = socket.recv_multipart()
            if lost == losses:
                seq = msgpack.unpackb(message)[4]
                socket.send_multipart([peer, msgpack.packb([1, 33, 1, 0, 1, 0, [seq, {"lost": lost}]])])

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


@pytest.fixture
def quick(monkeypatch):
    for module in (_protocol, drover.client, drover.aio):
        monkeypatch.setattr(module, "RESEND_S", 0.2)


@pytest.mark.parametrize("losses", [0, 1, 3])
def test_a_lost_message_is_sent_again(router, quick, losses):
    socket, url = router
    thread = answer_after(socket, losses)
    with drover.Client(url) as fleet:
        assert fleet.info() == {"lost": losses}
    thread.join()


@pytest.mark.parametrize("losses", [0, 2])
def test_a_lost_message_is_sent_again_async(router, quick, losses):
    socket, url = router
    thread = answer_after(socket, losses)

    async def ask():
        async with drover.AsyncClient(url) as fleet:
            return await fleet.info()

    assert asyncio.run(ask()) == {"lost": losses}
    thread.join()


def test_nobody_there_is_unreachable():
    with drover.Client("tcp://127.0.0.1:1", timeout=0.3) as fleet:
        with pytest.raises(drover.Unreachable, match="127.0.0.1:1 within 0.3 s"):
            fleet.info()


def test_nobody_there_is_unreachable_async():
    async def ask():
        async with drover.AsyncClient("tcp://127.0.0.1:1", timeout=0.3) as fleet:
            await fleet.info()

    with pytest.raises(drover.Unreachable):
        asyncio.run(ask())


def test_an_address_that_is_none():
    with pytest.raises(drover.InvalidArgument, match="no address"):
        drover.Client("nonsense")


def test_key_without_server_key(tmp_path, monkeypatch):
    monkeypatch.delenv("DROVER_SERVER_KEY_FILE", raising=False)
    with pytest.raises(drover.AuthError, match="go together"):
        drover.Client(key_file=str(tmp_path / "key"))


def test_key_files(tmp_path):
    own, server = tmp_path / "key", tmp_path / "server.pub"
    own.write_text("# a pair\npublic = " + "#" * 40 + "\nsecret = " + "s" * 40 + "\n")
    server.write_text("public = " + "p" * 40 + "\n")
    target = drover.Client(key_file=str(own), server_key_file=str(server))._target
    assert (target.public, target.secret, target.server) == (b"#" * 40, b"s" * 40, b"p" * 40)
    server.write_text("public = too-short\n")
    with pytest.raises(drover.AuthError, match="no public key"):
        drover.Client(key_file=str(own), server_key_file=str(server))


def test_environment_and_file(tmp_path, monkeypatch):
    config = tmp_path / "client.conf"
    config.write_text("# where\nurl = tcp://127.0.0.1:2\n")
    monkeypatch.setenv("DROVER_CONFIG", str(config))
    monkeypatch.delenv("DROVER_URL", raising=False)
    assert drover.Client()._target.url == "tcp://127.0.0.1:2"
    monkeypatch.setenv("DROVER_URL", "tcp://127.0.0.1:3")
    assert drover.Client()._target.url == "tcp://127.0.0.1:3"
    config.write_text("ulr = x\n")
    with pytest.raises(drover.DroverError, match="client.conf:1"):
        drover.Client()
