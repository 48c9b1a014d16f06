# semaphore_server: 300 clients, of whom no more than the limit are served at once.

# All are connected and have said something before the first one leaves: a hundred are served, two hundred wait.
crowd() {
    python3 - "$host" "$port" <<'END'
import socket, sys
clients = [socket.create_connection((sys.argv[1], int(sys.argv[2])), 20) for _ in range(300)]
for n, client in enumerate(clients):
    client.sendall(b"client %d\n" % n)
for n, client in enumerate(clients):
    assert client.makefile("rb").readline() == b"client %d\n" % n, n
    client.close()
END
}

serve semaphore_server
check "semaphore_server: a line" dialogue 'hello\nworld\n' hello world
check "semaphore_server: 300 clients are all served" crowd
stop TERM
check "semaphore_server: never more than the limit" \
    grep -qE 'stopped after 301 connections, at most 100 at once$' "$server_log"

# One place, taken by a client that says nothing: the next one waits until it has gone.
queued() {
    local first second line
    connect first
    # Its line has been answered, so it is the one that is served.
    echo first >&"$first"
    IFS= read -r -t 10 line <&"$first"
    connect second
    echo second >&"$second"
    if IFS= read -r -t 0.3 line <&"$second"; then return 1; fi
    exec {first}>&-
    IFS= read -r -t 10 line <&"$second"
    [ "$line" = second ]
}

serve semaphore_server --limit 1
check "semaphore_server: who comes when all places are taken waits for one" queued
check "semaphore_server: port in use" refused "$target/release/examples/semaphore_server" --addr "$host:$port"
check "semaphore_server: no places" misused semaphore_server --limit 0
stop INT

# Ctrl-C while the accept loop waits for a place.
serve semaphore_server --limit 1
connect silent
stop INT
exec {silent}>&-
