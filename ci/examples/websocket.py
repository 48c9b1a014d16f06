"""Clients of the websocket example, on PyPI's websockets: websocket.py HOST PORT WHAT, status 0 if all is well."""

import asyncio
import os
import socket
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

HOST, PORT, WHAT = sys.argv[1], int(sys.argv[2]), sys.argv[3]
URL = f"ws://{HOST}:{PORT}/"
LIMIT = 64 << 10


def client(**options):
    return connect(URL, compression=None, max_size=None, **options)


async def closed_with(ws, code):
    try:
        async with asyncio.timeout(20):
            async for _ in ws:
                pass
    except ConnectionClosed:
        pass
    assert ws.close_code == code, (ws.close_code, ws.close_reason)


async def room():
    """What one says all hear, in order."""
    async with client() as a, client() as b, client() as c:
        # Joining is not announced: each says something until it hears itself, and then all are there.
        for ws in (a, b, c):
            await ws.send("here")
            while await ws.recv() != "here":
                pass
        await a.send("begin")
        for n in range(100):
            await a.send(f"message {n}, with an ä and a 🦀")
            for ws in (a, b, c):
                text = await ws.recv()
                while "message" not in text:
                    text = await ws.recv()
                assert text == f"message {n}, with an ä and a 🦀", text


async def binary():
    async with client() as ws:
        for size in (0, 1, 125, 126, 65535, LIMIT):
            data = os.urandom(size)
            await ws.send(data)
            assert await ws.recv() == data, size


async def ping():
    async with client() as ws:
        for _ in range(10):
            await asyncio.wait_for(await ws.ping(os.urandom(16)), 10)


async def close():
    async with client() as ws:
        await ws.close(4000, "enough")
        assert ws.close_code == 4000


async def big():
    """A message beyond the limit: the connection is closed with 1009; others don't notice."""
    async with client() as other, client() as ws:
        await ws.send(b"x" * (LIMIT + 1))
        await closed_with(ws, 1009)
        await other.send("still here")
        assert await other.recv() == "still here"


async def fragments():
    async with client() as ws:
        await ws.send(["in ", "three ", "parts"])
        assert await ws.recv() == "in three parts"


def raw():
    """A connection after the handshake, without a library."""
    sock = socket.create_connection((HOST, PORT), 20)
    sock.sendall(
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(1)
    # The example of RFC 6455.
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head, head
    return sock


def rest(sock):
    data = b""
    try:
        while part := sock.recv(4096):
            data += part
    except ConnectionResetError:
        pass
    return data


async def garbage():
    """Frames that are none: closed with 1002 (or cut off), and nobody else notices."""
    async with client() as other:
        for bytes in (b"\xff" * 100, b"\x83\x80abcd", b"\x81\xff" + b"\xff" * 8 + b"mask", b"\x89\xfe\x01\x00" + b"m" * 300):
            sock = raw()
            sock.sendall(bytes)
            answer = await asyncio.to_thread(rest, sock)
            assert answer == b"" or answer[0] == 0x88, answer
        await other.send("still here")
        assert await other.recv() == "still here"


async def unmasked():
    """A client has to mask its frames: RFC 6455, 5.1."""
    sock = raw()
    sock.sendall(b"\x81\x05hello")
    answer = await asyncio.to_thread(rest, sock)
    assert answer[:4] == b"\x88\x02\x03\xea", answer


async def slow():
    """Who doesn't read has to go, and holds up nobody."""
    sock = raw()
    async with client() as ws:
        data = b"y" * LIMIT
        for _ in range(1000):
            await ws.send(data)
            assert await ws.recv() == data
    await asyncio.to_thread(rest, sock)


async def many():
    """A hundred that come and go."""

    async def one(n):
        async with client() as ws:
            await ws.send(f"{n}")
            while await ws.recv() != f"{n}":
                pass

    # At most as many at a time as fit into an outbox.
    gate = asyncio.Semaphore(10)

    async def next_one(n):
        async with gate:
            await one(n)

    await asyncio.gather(*(next_one(n) for n in range(100)))


async def farewell():
    async with client() as ws:
        await ws.send("x")
        await ws.recv()
        print("connected", flush=True)
        await closed_with(ws, 1001)


asyncio.run(globals()[WHAT]())
