# semaphore_server: 300 clients, of whom no more than the limit are served at once.

# Each has a line answered, and keeps its connection until then.
crowd() {
    local clients=() n
    for n in $(seq 300); do
        dialogue "client $n\n" "client $n" &
        clients+=($!)
    done
    for n in "${clients[@]}"; do wait "$n"; done
}

# Ten, so that nc, started so many times, gets there.
serve semaphore_server --limit 10 --work 0.1
check "semaphore_server: a line" dialogue 'hello\nworld\n' hello world
check "semaphore_server: 300 clients are all served" crowd
stop TERM
check "semaphore_server: never more than the limit" \
    grep -qE 'stopped after 301 connections, at most 10 at once$' "$server_log"

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
