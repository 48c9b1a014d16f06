#!/usr/bin/env python3
"""A name server to try dns_proxy against: it knows a few names, and misbehaves at others.

    python3 ci/examples/dns_upstream.py [PORT]      prints the port; answers over UDP and TCP

Names under `test.`, each with the type that it has, and what it is for:

    a.test A, aaaa.test AAAA, txt.test TXT, alias.test CNAME a.test
    count.test TXT         how often it was asked for; holds for 60 s        (is it kept?)
    brief.test TXT         the same, for 1 s                                 (and not too long?)
    fleeting.test TXT      the same, for 0 s                                 (not to be kept)
    slow.test TXT          the same, after half a second                     (asked once for many?)
    lost.test A            the first two questions are not answered          (asked again?)
    silent.test            is never answered
    false.test A           first comes an answer with another number, then one to another question
    big.test TXT           takes 3000 bytes: truncated over UDP, whole over TCP
    fail.test              SERVFAIL
    garbage.test A         first comes a message that is none
    nothing.test A         exists, but has no such record; like all names that don't exist, for 60 s
    missing-N.test         doesn't exist; its SOA record says how often it was asked for
"""

import socket
import struct
import sys
import threading
import time

A, CNAME, SOA, TXT, AAAA = 1, 5, 6, 16, 28
counts, lock = {}, threading.Lock()


def count(name):
    with lock:
        counts[name] = counts.get(name, 0) + 1
        return counts[name]


def wire(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


def record(name, kind, ttl, data):
    return wire(name) + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


def text(words):
    parts = [words[at : at + 200].encode() for at in range(0, len(words), 200)]
    return b"".join(bytes([len(part)]) + part for part in parts)


def soa(serial, ttl=60):
    data = wire("ns.test") + wire("root.test") + struct.pack(">IIIII", serial, 60, 60, 60, ttl)
    return record("test", SOA, 3600, data)


def message(ident, question, code=0, answers=(), authority=(), truncated=False):
    flags = 0x8180 | code | (0x0200 if truncated else 0)
    head = struct.pack(">HHHHHH", ident, flags, 1, len(answers), len(authority), 0)
    return head + question + b"".join(answers) + b"".join(authority)


def parse(query):
    ident = struct.unpack(">H", query[:2])[0]
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode("latin-1"))
        at += 1 + query[at]
    kind = struct.unpack(">H", query[at + 1 : at + 3])[0]
    return ident, ".".join(labels), kind, query[12 : at + 5]


def answers(query, tcp):
    """The messages that are sent back, in this order."""
    ident, spelled, kind, question = parse(query)
    name = spelled.lower()
    number = count(name)
    asked = lambda ttl: [record(name, TXT, ttl, text(f"asked {number}"))]
    reply = lambda records, **more: message(ident, question, answers=records, **more)
    if name == "silent.test" or (name == "lost.test" and number <= 2):
        return []
    if name == "fail.test":
        return [message(ident, question, code=2)]
    if name == "big.test" and kind == TXT:
        if not tcp:
            return [reply([], truncated=True)]
        return [reply([record(name, TXT, 60, text("x" * 3000))])]
    if name == "slow.test":
        time.sleep(0.5)
    known = {
        ("a.test", A): [record("a.test", A, 300, bytes([192, 0, 2, 1]))],
        ("aaaa.test", AAAA): [record("aaaa.test", AAAA, 300, socket.inet_pton(socket.AF_INET6, "2001:db8::1"))],
        ("txt.test", TXT): [record("txt.test", TXT, 300, text("hello, world"))],
        ("alias.test", A): [
            record("alias.test", CNAME, 300, wire("a.test")),
            record("a.test", A, 300, bytes([192, 0, 2, 1])),
        ],
        ("count.test", TXT): asked(60),
        ("brief.test", TXT): asked(1),
        ("fleeting.test", TXT): asked(0),
        ("slow.test", TXT): asked(60),
    }
    if name in ("lost.test", "false.test", "garbage.test") and kind == A:
        good = reply([record(name, A, 60, bytes([192, 0, 2, 2]))])
        evil = [record(name, A, 60, bytes([203, 0, 113, 66]))]
        if name == "false.test":
            other = wire("other.test") + question[-4:]
            wrong_number = message((ident + 1) % 65536, question, answers=evil)
            return [wrong_number, message(ident, other, answers=evil), good]
        if name == "garbage.test":
            return [b"\xff" * 40, query[:2] + b"\x81\x80" + b"\xff" * 8, good]
        return [good]
    if (name, kind) in known:
        return [reply(known[name, kind])]
    exists = name == "nothing.test" or any(name == there for there, _ in known)
    return [message(ident, question, code=0 if exists else 3, authority=[soa(number)])]


def over_udp(sock):
    def one(query, client):
        for reply in answers(query, False):
            sock.sendto(reply, client)

    while True:
        query, client = sock.recvfrom(4096)
        threading.Thread(target=one, args=(query, client), daemon=True).start()


def over_tcp(listener):
    def one(conn):
        with conn, conn.makefile("rwb") as stream:
            while len(length := stream.read(2)) == 2:
                for reply in answers(stream.read(struct.unpack(">H", length)[0]), True):
                    stream.write(struct.pack(">H", len(reply)) + reply)
                stream.flush()

    while True:
        conn, _ = listener.accept()
        threading.Thread(target=one, args=(conn,), daemon=True).start()


def main(port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", port))
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(sock.getsockname())
    listener.listen()
    threading.Thread(target=over_tcp, args=(listener,), daemon=True).start()
    print(sock.getsockname()[1], flush=True)
    over_udp(sock)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
