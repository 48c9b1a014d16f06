#!/usr/bin/env bash
# Drives the examples: the servers with real clients, nc, curl, wrk with 1,000 connections, and Ctrl-C; the
# others by comparing what they print, with what it must be and with what their Go originals print.
#
#   ci/examples.sh            builds them in release mode and runs every check below
#
# Servers get port 0 and print the port they were given, so that nothing collides. What a check
# received is kept in the log directory and shown when it fails. Needs: nc (openbsd), curl, wrk; go 1.25 or
# newer is used if it is there, and otherwise the comparison with the originals is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
logs=${CI_LOGS:-$target/ci-logs}/examples
rm -rf "$logs"
mkdir -p "$logs"

# wrk opens 1,000 sockets and many machines allow 1,024 descriptors by default; the server raises
# its own limit, wrk does not.
ulimit -n "$(ulimit -Hn)"

server_pid=
trap '[ -z "$server_pid" ] || kill -KILL "$server_pid" 2>/dev/null || true' EXIT

fail() {
    echo "FAIL: $*" >&2
    exit 1
}

# check WHAT COMMAND...: runs the command with its output in a log file.
step=0
check() {
    local what=$1 log status
    shift
    step=$((step + 1))
    log=$logs/$(printf '%02d' $step).log
    # Not `if "$@"`: in a condition bash ignores `set -e` all the way down, and of a function with
    # several steps only the last one would count.
    set +e
    (set -e; "$@") >"$log" 2>&1
    status=$?
    set -e
    [ $status -eq 0 ] || { cat "$log" >&2; fail "$what (log: $log)"; }
    echo "ok: $what"
}

# absent PATTERN FILE: no line of the file matches. (`! grep` would not do: `set -e` ignores it.)
absent() {
    if grep -E -i "$1" "$2"; then return 1; fi
}

# serve NAME [ARGUMENT...]: starts an example on a free port; sets server_pid, host, port.
serve() {
    local name=$1 line=
    shift
    server_log=$logs/$name.log
    "$target/release/examples/$name" --addr 127.0.0.1:0 "$@" >"$server_log" 2>&1 &
    server_pid=$!
    # At most 10 s for the first line; the loop ends as soon as it is there.
    for _ in $(seq 200); do
        line=$(sed -n 's/^.*listening on //p' "$server_log")
        [ -n "$line" ] && break
        sleep 0.05
    done
    [ -n "$line" ] || { cat "$server_log" >&2; fail "$name did not start"; }
    host=${line%:*} port=${line##*:}
}

# stop SIGNAL: the server has 2 s to end with status 0 and its closing line.
stop() {
    local signal=$1 status=0 waited=0
    kill "-$signal" "$server_pid"
    # `wait` reports the status but knows no time limit.
    while kill -0 "$server_pid" 2>/dev/null; do
        [ $waited -lt 40 ] || fail "still running 2 s after SIG$signal"
        sleep 0.05
        waited=$((waited + 1))
    done
    wait "$server_pid" || status=$?
    server_pid=
    [ $status -eq 0 ] || { cat "$server_log" >&2; fail "SIG$signal: exit status $status"; }
    grep -q 'stopped after' "$server_log" || fail "no closing line after SIG$signal"
    absent panicked "$server_log" || { cat "$server_log" >&2; fail "a goroutine panicked"; }
    echo "ok: SIG$signal: $(tail -1 "$server_log")"
}

# ask TEXT: sends the bytes (printf escapes) on one connection, prints what comes back.
# -N: shut down our side after the last byte; -w 5: give up on a silent server.
ask() {
    printf -- "$1" | nc -N -w 5 "$host" "$port"
}

# answers TEXT STATUS...: the status codes that the request bytes must be answered with, in order.
answers() {
    local request=$1 got
    shift
    got=$(ask "$request" | tr -d '\r' | sed -n 's,^HTTP/1.1 \([0-9]*\) .*,\1,p' | tr '\n' ' ')
    echo "want: $*  got: $got"
    [ "$got" = "$* " ]
}

# --- build --------------------------------------------------------------------------------------

cargo build --release --examples -p corio-examples

# --- those without sockets ------------------------------------------------------------------------

example() { "$target/release/examples/$1" "${@:2}"; }

# prints WANT NAME [ARGUMENT...]: what the example must print.
prints() {
    local got
    got=$(example "${@:2}")
    diff <(echo "$1") <(echo "$got")
}

# The reader goes away after the first line, with more to come than a pipe holds: no reason to panic.
cut_short() {
    "$@" 2>"$logs/cut.log" | head -1
    cat "$logs/cut.log"
    [ ! -s "$logs/cut.log" ]
}

# The time varies from run to run.
rounds() {
    example pingpong --strokes 1001 | tee "$logs/pingpong.txt"
    [ "$(head -1 "$logs/pingpong.txt")" = 'ping struck 501 times, pong 500 times' ]
    [ "$(sed 1d "$logs/pingpong.txt" | grep -cE '^[0-9]+ ns a round$')" -eq 1 ]
}

# Nobody loses a message without it being counted, the slow one keeps as many as its buffer holds.
broadcast() {
    example pubsub --messages 1000 --buffer 16 | tee "$logs/pubsub.txt"
    [ "$(sed -nE 's/^(.*): received ([0-9]+), missed ([0-9]+)$/\2 + \3/p' "$logs/pubsub.txt" |
        while read -r sum; do echo $((sum)); done | xargs)" = '1000 1000' ]
    grep -qx 'quick: received 1000, missed 0' "$logs/pubsub.txt"
    grep -qx 'slow: received 16, missed 984' "$logs/pubsub.txt"
}

# Each ate 300 times, and each fork is used by two.
meals() {
    example dining --meals 300 | tee "$logs/dining.txt"
    [ "$(grep -c ' ate 300 times$' "$logs/dining.txt")" -eq 5 ]
    [ "$(grep -cE '^fork [0-4] was used 600 times$' "$logs/dining.txt")" -eq 5 ]
    [ "$(wc -l <"$logs/dining.txt")" -eq 10 ]
}

# Arguments that make no sense: status 2, and words of clap's that name the culprit, the last one.
misused() {
    local status=0
    example "$@" >"$logs/misused.log" 2>&1 || status=$?
    cat "$logs/misused.log"
    [ $status -eq 2 ]
    grep -qF -- "${!#}" "$logs/misused.log"
    grep -q '^error: ' "$logs/misused.log"
    absent panicked "$logs/misused.log"
}

primes=$(printf '%s\n' 2 3 5 7 11 13 17 19 23 29 31 37 41 43 47 53 59 61 67 71 73 79 83 89 97)
lengths=$(
    job=0
    for steps in 0 1 7 2 5 8 16 3 19 6; do job=$((job + 1)) && echo "job $job: $steps steps"; done
)

check "prime_sieve: the primes below 100" prints "$primes" prime_sieve --count 25
check "prime_sieve: none" prints "" prime_sieve --count 0
check "pingpong: 1,001 strokes" rounds
check "worker_pool: Collatz lengths, 3 workers" prints "$lengths" worker_pool --workers 3 --jobs 10
check "worker_pool: Collatz lengths, more workers than jobs" \
    prints "$lengths" worker_pool --workers 50 --jobs 10
check "worker_pool: cut short by head" cut_short example worker_pool --jobs 20000
check "pubsub: received or missed" broadcast
check "dining: all have eaten" meals
check "prime_sieve: a count that is none" misused prime_sieve --count many
check "pingpong: an unknown option" misused pingpong --nonsense
check "worker_pool: nobody works" misused worker_pool --workers 0
check "pubsub: no buffer" misused pubsub --buffer 0
check "dining: an argument too many" misused dining 5

# --- their Go originals -------------------------------------------------------------------------

# same NAME OPTION VALUE...: ours and the Go original print the same, the time of a round aside.
same() {
    local name=$1 time='s/^[0-9]+ ns a round$/N ns a round/'
    example "$@" | sed -E "$time" >"$logs/$name.rust.txt"
    go run "examples/go/$name.go" "${@:2}" | sed -E "$time" >"$logs/$name.go.txt"
    diff "$logs/$name.rust.txt" "$logs/$name.go.txt"
}

# `go version` says "go version go1.25.1 linux/amd64". `local`: nothing is downloaded.
export GOTOOLCHAIN=local
note=
if go version 2>/dev/null | grep -qE ' go1\.(2[5-9]|[3-9][0-9])'; then
    check "prime_sieve: as in Go" same prime_sieve --count 300
    check "pingpong: as in Go" same pingpong --strokes 12345
    check "worker_pool: as in Go" same worker_pool --workers 4 --jobs 500
    check "pubsub: as in Go" same pubsub --messages 777 --buffer 5
    check "dining: as in Go" same dining --meals 500
else
    note=', comparison with the Go originals skipped (no go 1.25)'
    echo "skipped: the Go originals (no go 1.25 or newer)"
fi

# --- echo ---------------------------------------------------------------------------------------

echo_line() { [ "$(ask 'hello\n')" = hello ]; }

# More than any socket buffer, so that both directions fill up and have to wait for each other.
echo_big() {
    head -c 16777216 /dev/urandom >"$logs/big.in"
    nc -N -w 5 "$host" "$port" <"$logs/big.in" >"$logs/big.out"
    cmp "$logs/big.in" "$logs/big.out"
    rm "$logs/big.in" "$logs/big.out"
}

client() { "$target/release/examples/echo_client" --addr "$host:$port" "$@"; }

# Must exit with status 1, explain itself on one line and not panic.
refused() {
    local status=0
    "$@" >"$logs/refused.log" 2>&1 || status=$?
    cat "$logs/refused.log"
    [ $status -eq 1 ]
    absent panicked "$logs/refused.log"
    grep -q "$port" "$logs/refused.log"
}

serve echo
check "echo: a line through nc" echo_line
check "echo: 16 MiB through nc" echo_big
check "echo_client: closed loop, 1,000 connections" client --conns 1000 --duration 2
tail -n +1 "$logs/$(printf '%02d' $step).log"
check "echo_client: open loop, 2,000 requests/s" client --conns 50 --duration 2 --rate 2000
tail -n +1 "$logs/$(printf '%02d' $step).log"
check "echo: port in use" refused "$target/release/examples/echo" --addr "$host:$port"
# A client that is in the middle of its run ends with its summary.
"$target/release/examples/echo_client" --addr "$host:$port" --duration 60 >"$logs/int.log" 2>&1 &
client_pid=$!
check "echo: a line while the client runs" echo_line
kill -INT $client_pid
wait $client_pid || fail "echo_client: SIGINT: exit status $?"
grep -q '^errors    0' "$logs/int.log" || fail "echo_client: SIGINT: no summary"
stop INT
check "echo_client: nobody listens" refused client --conns 3

# --- http_hello ---------------------------------------------------------------------------------

get() { [ "$(curl -sS --max-time 5 "http://$host:$port$1")" = "$2" ]; }

status() {
    local want=$1 got
    shift
    got=$(curl -sS --max-time 5 -o /dev/null -w '%{http_code}' "$@")
    echo "want $want, got $got"
    [ "$got" = "$want" ]
}

# Two requests by one curl: the second goes over the first one's connection, after a 1 MB body that
# the server has to read past. GET, because curl hangs up when it is refused before the body is out;
# -H 'Expect:' so that it doesn't ask for permission to send it.
reuse() {
    head -c 1000000 /dev/zero >"$logs/body"
    curl -sS -v --max-time 5 -X GET --data-binary "@$logs/body" -H 'Expect:' \
        "http://$host:$port/hello" --next -sS -v --max-time 5 "http://$host:$port/hello" 2>&1 |
        tee "$logs/reuse.txt"
    grep -qi 're-using existing .*connection' "$logs/reuse.txt"
    [ "$(grep -c 'HTTP/1.1 200' "$logs/reuse.txt")" -eq 2 ]
}

# Byte for byte what three pipelined requests are answered with.
pipelined() {
    ask 'GET / HTTP/1.1\r\nHost: a\r\n\r\nHEAD /hello HTTP/1.1\r\nHost: a\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' >"$logs/got"
    local type='Content-Type: text/plain'
    {
        printf 'HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n%s\r\nContent-Length: 14\r\n\r\n' "$type"
        printf 'Hello, world!\n'
        printf 'HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n%s\r\nContent-Length: 14\r\n\r\n' "$type"
        printf 'HTTP/1.1 404 Not Found\r\nConnection: close\r\n%s\r\nContent-Length: 11\r\n\r\n' "$type"
        printf 'Not found.\n'
    } >"$logs/want"
    cat "$logs/got"
    cmp "$logs/want" "$logs/got"
}

# A request that follows 500 others in the same stream of bytes.
pipelined_many() {
    local one='GET / HTTP/1.1\r\nHost: a\r\n\r\n' all= count
    for _ in $(seq 500); do all+=$one; done
    count=$(ask "$all" | grep -c 'HTTP/1.1 200 OK')
    echo "want 500, got $count"
    [ "$count" -eq 500 ]
}

# wrk prints lines about socket errors and non-2xx answers only if there were any.
load() {
    wrk -t 2 -c 1000 -d 2s --latency "http://$host:$port/hello" | tee "$logs/wrk.txt"
    grep -q 'requests in' "$logs/wrk.txt"
    absent 'socket errors|non-2xx|^ *0 requests in' "$logs/wrk.txt"
}

serve http_hello
check "http_hello: GET /" get / 'Hello, world!'
check "http_hello: GET /hello" get /hello 'Hello, world!'
check "http_hello: query string" get '/hello?name=x' 'Hello, world!'
check "http_hello: 404" status 404 "http://$host:$port/nothing"
check "http_hello: HEAD" status 200 -I "http://$host:$port/hello"
check "http_hello: HTTP/1.0" status 200 --http1.0 "http://$host:$port/"
check "http_hello: body read past, connection used again" reuse
check "http_hello: pipelined, byte for byte" pipelined
check "http_hello: 500 pipelined" pipelined_many
check "http_hello: pipelined behind a body" \
    answers 'POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\n\r\n' 405 200
check "http_hello: HTTP/1.0 closes" answers 'GET / HTTP/1.0\r\n\r\nGET / HTTP/1.0\r\n\r\n' 200
check "http_hello: HTTP/1.0 keep-alive" \
    answers 'GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\nGET / HTTP/1.0\r\n\r\n' 200 200
check "http_hello: malformed" answers 'nonsense\r\n\r\n' 400
check "http_hello: contradictory lengths" \
    answers 'GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n' 400
check "http_hello: chunked body" answers 'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n' 411
check "http_hello: header too large" \
    answers "GET / HTTP/1.1\r\nX: $(head -c 20000 /dev/zero | tr '\0' x)\r\n\r\n" 431
check "http_hello: port in use" refused "$target/release/examples/http_hello" --addr "$host:$port"
check "http_hello: wrk, 1,000 connections" load
cat "$logs/wrk.txt"
check "http_hello: GET / after the load" get / 'Hello, world!'
stop INT

# Ctrl-C in the middle of the load, and SIGTERM.
serve http_hello
wrk -t 2 -c 1000 -d 5s "http://$host:$port/hello" >"$logs/wrk-cut.txt" 2>&1 &
wrk_pid=$!
check "http_hello: GET / under load" get / 'Hello, world!'
stop INT
kill "$wrk_pid" 2>/dev/null || true
wait "$wrk_pid" || true
serve http_hello
stop TERM

# --- async_tcp_server ---------------------------------------------------------------------------

# dialogue REQUEST LINE...: the lines that the request bytes must be answered with, all of them.
dialogue() {
    local request=$1
    shift
    ask "$request" | diff <(printf '%s\n' "$@") -
}

no_number='is not a number. Send a whole number, such as 41'
too_long='a number, but too long for me: 38 digits will do'
nothing='nothing? Send a whole number, such as 41'

unanswered() { [ -z "$(ask "$1")" ]; }

# seconds_of COMMAND...: runs it, prints the whole seconds that it took.
seconds_of() {
    local start=$SECONDS
    "$@" >&2
    echo $((SECONDS - start))
}

# $SECONDS is cut to whole seconds at both ends, so a second more or less is nothing.
two_seconds() {
    local took
    took=$(seconds_of dialogue '1\n' 2)
    echo "took about $took s"
    [ "$took" -ge 1 ]
}

# 50 clients with 2 s of work each: at once, not one after the other.
many_at_once() {
    local pids=() start=$SECONDS
    for n in $(seq 50); do
        dialogue "$n\n" $((n + 1)) &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
    echo "took about $((SECONDS - start)) s"
    [ $((SECONDS - start)) -lt 50 ]
}

# A line of 1 MB is read past; the next one is answered.
long_line() {
    { head -c 1000000 /dev/zero | tr '\0' 1; printf '\n7\n'; } | nc -N -w 5 "$host" "$port" |
        diff <(printf '%s\n' "$too_long" 8) -
}

# connect NAME: the variable of this name becomes a descriptor of this shell: a connection.
connect() {
    local fd
    exec {fd}<>"/dev/tcp/$host/$port"
    printf -v "$1" %s "$fd"
}

# rest NAME: what comes on this connection until the server ends it, within 10 s.
rest() { timeout 10 cat <&"${!1}"; }

# last_words NAME TEXT: that is all that comes.
last_words() {
    local got
    got=$(rest "$1")
    echo "got: $got"
    [ "$got" = "$2" ]
}

# The client keeps its side open; it is the server who ends it.
silent() {
    local client
    connect client
    printf -- "$1" >&"$client"
    rest client | diff <(printf '%s\n' "${@:2}") -
}

serve async_tcp_server
check "async_tcp_server: 2 s of work for a line" two_seconds
check "async_tcp_server: 50 clients at once" many_at_once
stop INT

serve async_tcp_server --work 0.01
check "async_tcp_server: a number" dialogue '41\n' 42
check "async_tcp_server: several lines, and one without an end" dialogue '1\n 2 \r\n3' 2 3 4
check "async_tcp_server: negative numbers" dialogue '-5\n-1\n-0\n+7\n' -4 0 1 8
check "async_tcp_server: beyond 64 bits" \
    dialogue '9223372036854775807\n18446744073709551615\n-9223372036854775809\n' \
    9223372036854775808 18446744073709551616 -9223372036854775808
check "async_tcp_server: the last number" \
    dialogue '170141183460469231731687303715884105727\n-170141183460469231731687303715884105728\n' \
    'this is the last number I know' -170141183460469231731687303715884105727
check "async_tcp_server: too long a number" \
    dialogue '999999999999999999999999999999999999999999\n-999999999999999999999999999999999999999999\n1\n' \
    "$too_long" "$too_long" 2
check "async_tcp_server: no number" \
    dialogue 'abc\n\n1.5\n0x10\n1 2\n\001\n4\n' "\"abc\" $no_number" "$nothing" "\"1.5\" $no_number" \
    "\"0x10\" $no_number" "\"1 2\" $no_number" "\"\\u{1}\" $no_number" 5
check "async_tcp_server: no UTF-8" dialogue '\377\n' "\"$(printf '\357\277\275')\" $no_number"
check "async_tcp_server: a line of 1 MB" long_line
check "async_tcp_server: nothing at all" unanswered ''
check "async_tcp_server: port in use" \
    refused "$target/release/examples/async_tcp_server" --addr "$host:$port"
check "async_tcp_server: no work" misused async_tcp_server --work 0
stop TERM

serve async_tcp_server --work 0.01 --deadline 1
check "async_tcp_server: silent for too long" silent '' 'no line for 1s, goodbye'
check "async_tcp_server: silent after a line" silent '5\n' 6 'no line for 1s, goodbye'
check "async_tcp_server: silent in the middle of a line" silent '5\n1' 6 'no line for 1s, goodbye'
stop TERM

# SIGTERM while a line is being worked on: it is answered. Two that came together: the second one has begun
# when the first is answered. A client that is idle is just at the end.
serve async_tcp_server --work 0.5
connect idle
connect busy
printf '41\n' >&"$idle"
printf '1\n2\n' >&"$busy"
head -1 <&"$idle" >"$logs/idle.txt"
IFS= read -r -t 10 line <&"$busy" || fail "async_tcp_server: no answer"
[ "$line" = 2 ] || fail "async_tcp_server: 2 comes after 1, not $line"
stop TERM
check "async_tcp_server: the line under way was answered" last_words busy 3
check "async_tcp_server: the idle client's end" last_words idle ''
exec {busy}>&- {idle}>&-

# --- chat ---------------------------------------------------------------------------------------

# Clients are descriptors of this shell; what they hear is read line by line.

# enter NAME: connects, and says who it is; the variable of this name is the descriptor.
enter() {
    connect "$1"
    hears "$1" '* what is your name?' >"$logs/enter.txt" || fail "chat: $(cat "$logs/enter.txt")"
    says "$1" "$1"
}

says() { echo "$2" >&"${!1}"; }

# hears NAME LINE: the next line that this client hears, within 10 s. (A variable for the
# descriptor: inside a function `check` runs them in a subshell, which has the same ones.)
hears() {
    local line=
    IFS= read -r -t 10 line <&"${!1}" || { echo "$1 hears nothing (want: $2)"; return 1; }
    echo "$1 hears: $line"
    [ "$line" = "$2" ]
}

serve chat --outbox 16 --patience 2
enter ada
check "chat: welcome" hears ada '* welcome; here are: ada'
enter bob
check "chat: welcome, the second" hears bob '* welcome; here are: ada, bob'
check "chat: who joins is announced" hears ada '* bob has joined'
both_ways() {
    says ada 'hello, bob'
    hears bob 'ada: hello, bob'
    says bob "hello, ada$(printf '\033')[2J"
    hears ada 'bob: hello, ada[2J'
    # Nobody hears himself; empty lines are none.
    says ada ''
    says ada 'and?'
    hears bob 'ada: and?'
}
check "chat: they hear each other" both_ways
# A name that is taken, and ones that are none.
enter_badly() {
    local eve
    connect eve
    hears eve '* what is your name?'
    says eve ada
    hears eve '* that name is taken; have you another?'
    says eve ''
    hears eve '* a name has 1 to 20 letters and digits; what is yours?'
    says eve 'e v e'
    hears eve '* a name has 1 to 20 letters and digits; what is yours?'
    says eve eve
    hears eve '* welcome; here are: ada, bob, eve'
    hears ada '* eve has joined'
    hears bob '* eve has joined'
    says eve "$(head -c 5000 /dev/zero | tr '\0' x)"
    hears ada "eve: $(head -c 1024 /dev/zero | tr '\0' x)"
    hears bob "eve: $(head -c 1024 /dev/zero | tr '\0' x)"
    # The subshell's end closes it.
}
check "chat: names, and a long line" enter_badly
check "chat: who leaves is announced" hears ada '* eve has left'
check "chat: to all" hears bob '* eve has left'

# deaf sends what is answered each time, and reads no answer: it is shown out although it is no member that somebody
# would have to wait for. Then sending fails.
stuck() {
    local deaf start=$SECONDS status=0
    connect deaf
    timeout 60 yes 'e v e' >&"$deaf" || status=$?
    echo "took about $((SECONDS - start)) s, status $status"
    [ "$status" -ne 124 ]
}
check "chat: who reads nothing and has no name has to go" stuck

# slow never reads: it is shown out when its outbox and the system's buffers are full; the others get all
# of the 20,000 lines of 1,000 bytes, and go on.
enter slow
check "chat: the slow one joins" hears ada '* slow has joined'
check "chat: the slow one joins, for all" hears bob '* slow has joined'
flood() {
    local line
    line=$(head -c 1000 /dev/zero | tr '\0' y)
    (yes "$line" | head -n 20000 >&"$ada") &
    # One more than what ada says.
    timeout 60 head -n 20001 <&"$bob" | cut -c 1-50 | sort | uniq -c | sed 's/^ *//' | tee "$logs/flood.txt"
    wait
    [ "$(wc -l <"$logs/flood.txt")" -eq 2 ]
    grep -q '^20000 ada: yyy' "$logs/flood.txt"
    grep -qx '1 \* slow was too slow and had to go' "$logs/flood.txt"
}
check "chat: the slow one has to go, the others hear all" flood
check "chat: which the speaker hears, too" hears ada '* slow was too slow and had to go'
says bob 'still there?'
check "chat: life goes on" hears ada 'bob: still there?'
check "chat: port in use" refused "$target/release/examples/chat" --addr "$host:$port"
check "chat: no outbox" misused chat --outbox 0
stop TERM
check "chat: goodbye" last_words ada '* the server ends, goodbye'
check "chat: goodbye to all" last_words bob '* the server ends, goodbye'
exec {ada}>&- {bob}>&- {slow}>&-
serve chat
stop INT

echo "examples: all $step checks passed$note"
