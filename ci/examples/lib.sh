# What the checks of all examples share. Read by ci/examples.sh, which has set $target and $logs.

# wrk opens 1,000 sockets and many machines allow 1,024 descriptors by default; the server raises
# its own limit, wrk does not.
ulimit -n "$(ulimit -Hn)"

# Whatever has been started ends with this.
server_pid=
trap 'kill -KILL $(jobs -p) 2>/dev/null || true' EXIT

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

# withstands CORPUS [ARGUMENT...]: the server that was started last is sent this protocol's hostile input (ci/hostile).
withstands() { timeout 60 ci/hostile "$host" "$port" "$server_pid" "$@"; }

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

# example NAME [ARGUMENT...]: runs one.
example() { "$target/release/examples/$1" "${@:2}"; }

# status CODE ARGUMENT...: the status code that curl, with these arguments, must get.
status() {
    local want=$1 got
    shift
    got=$(curl -sS --max-time 5 -o /dev/null -w '%{http_code}' "$@")
    echo "want $want, got $got"
    [ "$got" = "$want" ]
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

# Must exit with status 1, explain itself on one line and not panic.
refused() {
    local status=0
    "$@" >"$logs/refused.log" 2>&1 || status=$?
    cat "$logs/refused.log"
    [ $status -eq 1 ]
    absent panicked "$logs/refused.log"
    grep -q "$port" "$logs/refused.log"
}

# dialogue REQUEST LINE...: the lines that the request bytes must be answered with, all of them.
dialogue() {
    local request=$1
    shift
    ask "$request" | diff <(printf '%s\n' "$@") -
}

# seconds_of COMMAND...: runs it, prints the whole seconds that it took.
seconds_of() {
    local start=$SECONDS
    "$@" >&2
    echo $((SECONDS - start))
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
