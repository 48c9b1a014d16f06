# corio-trace: the trace of an echo server under load, of one that was killed, and files that are none.

# The tables say so: FIELD... are what a line begins with.
tells() {
    local line
    example corio-trace "$1" | tee "$logs/tables.txt"
    for line in "${@:2}"; do
        grep -qE "^$line" "$logs/tables.txt" || { echo "nothing about: $line"; return 1; }
    done
}

# A file that is no trace: status 1, a line that says why, and no panic.
no_trace() {
    local status=0
    example corio-trace "$1" 2>"$logs/no-trace.txt" || status=$?
    cat "$logs/no-trace.txt"
    [ $status -eq 1 ]
    [ "$(wc -l <"$logs/no-trace.txt")" -eq 1 ]
    grep -q "^corio-trace: $1: .*$2" "$logs/no-trace.txt"
}

trace=$logs/echo-trace.json
load_traced() { example echo_client --addr "$host:$port" --conns 1000 --duration 1; }

# shellcheck disable=SC2031
export CORIO_TRACE=$trace
serve echo
unset CORIO_TRACE
check "corio-trace: 1,000 connections to a traced echo server" load_traced
stop INT
check "corio-trace: the trace is an array of JSON" python3 -c 'import json, sys
events = json.load(open(sys.argv[1]))
assert events[-1]["name"] == "summary", events[-1]
assert sum(event.get("cat") == "run" for event in events) > 1000' "$trace"
check "corio-trace: what it tells" tells "$trace" 'in a queue, woken or new ' 'running ' 'waiting: net read ' \
    'waiting: net accept ' 'poll ' 'P0 ' 'G[0-9]+ echo.rs:[0-9]+ '
cat "$logs/tables.txt"
rm "$trace"

export CORIO_TRACE=$logs/killed-%p.json
serve echo
unset CORIO_TRACE
killed=$logs/killed-$server_pid.json
check "corio-trace: load on a server to be killed" load_traced
kill -KILL "$server_pid"
wait "$server_pid" 2>/dev/null || true
server_pid=
check "corio-trace: the trace of a killed process" tells "$killed" 'the end is missing' 'running '
# In the middle of a line.
head -c "$(($(head -n 1000 "$killed" | wc -c) - 20))" "$killed" >"$logs/torn.json"
check "corio-trace: half a line" tells "$logs/torn.json" 'the end is missing' 'running '
{ head -n 100 "$killed"; echo nonsense; tail -n 100 "$killed"; } >"$logs/broken.json"
check "corio-trace: a broken line" no_trace "$logs/broken.json" 'line 101 is not an event'
rm "$killed"

: >"$logs/empty.json"
check "corio-trace: an empty file" no_trace "$logs/empty.json" 'it is empty'
check "corio-trace: a program" no_trace "$target/release/examples/corio-trace" 'not a trace'
printf '[\n{"ph":"i","pid":1,"tid":1,"ts":1,"name":"x"}\n]\n' >"$logs/foreign.json"
check "corio-trace: another program's trace" no_trace "$logs/foreign.json" 'nothing in it is called'
check "corio-trace: no such file" no_trace "$logs/missing.json" 'No such file'
check "corio-trace: no count" misused corio-trace "$logs/foreign.json" --top x
