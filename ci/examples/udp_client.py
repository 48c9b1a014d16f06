#!/usr/bin/env python3
"""A client for udp_echo that knows what is lost.

    udp_client.py HOST PORT lengths             a datagram of each of many lengths, one at a time: all come back
    udp_client.py HOST PORT clients N COUNT     N sockets, each with COUNT numbered datagrams, one at a time
    udp_client.py HOST PORT flood COUNT LENGTH  as fast as it goes; prints how many came back, and how often a wrong one
    udp_client.py HOST PORT limit MAX           MAX bytes come back, MAX + 1 don't
"""

import select
import socket
import struct
import sys
import threading
import time


def connected(server):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.connect(server)
    sock.settimeout(10)
    return sock


def exchange(sock, data):
    sock.send(data)
    got = sock.recv(65535)
    assert got == data, f"sent {len(data)} bytes, got {len(got)} others"


def lengths(server):
    sock = connected(server)
    for length in [0, 1, 2, 511, 1472, 1473, 9000, 65506, 65507]:
        exchange(sock, bytes(at * 7 % 251 for at in range(length)))


def clients(server, n, count):
    failures = []

    def one(client):
        try:
            sock = connected(server)
            for number in range(count):
                exchange(sock, struct.pack(">II", client, number))
        except Exception as error:
            failures.append(f"client {client}: {error}")

    threads = [threading.Thread(target=one, args=(client,)) for client in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    print(f"{n} clients, {n * count} datagrams, 0 lost")


def flood(server, count, length):
    sock = connected(server)
    sock.setblocking(False)
    seen, wrong, refused = set(), 0, 0
    fill = b"x" * (length - 4)

    def receive(wait):
        nonlocal wrong
        while select.select([sock], [], [], wait)[0]:
            got = sock.recv(65535)
            number = struct.unpack(">I", got[:4])[0]
            wrong += got[4:] != fill or number >= count or number in seen
            seen.add(number)

    start = time.monotonic()
    for number in range(count):
        try:
            sock.send(struct.pack(">I", number) + fill)
        except BlockingIOError:
            refused += 1
        if number % 16 == 0:
            receive(0)
    receive(1)
    took = time.monotonic() - start - 1
    sent = count - refused
    print(f"{sent} sent in {took:.2f} s, {len(seen)} came back, {sent - len(seen)} lost, {wrong} wrong")
    assert seen


def limit(server, longest):
    sock = connected(server)
    sock.send(b"y" * (longest + 1))
    exchange(sock, b"x" * longest)
    print(f"{longest} bytes came back, {longest + 1} did not")


if __name__ == "__main__":
    server = (sys.argv[1], int(sys.argv[2]))
    globals()[sys.argv[3]](server, *map(int, sys.argv[4:]))
