# load_balancer over three echo servers that come and go.

pids=() addrs=()
backend() {
    serve echo "$@"
    pids+=("$server_pid")
    addrs+=("$host:$port")
    server_pid=
}
end_backend() {
    kill "${pids[$1]}"
    wait "${pids[$1]}" || true
}
backend && backend && backend
list=$logs/backends
printf '%s\n' '# three of them' "${addrs[@]}" '' >"$list"

# each N LINE: N connections, one after the other, each with a line that comes back.
each() {
    local n
    for n in $(seq "$1"); do dialogue "$2 $n\n" "$2 $n"; done
}

# says PATTERN: within 10 s the balancer prints a line like this.
says_so() {
    for _ in $(seq 200); do
        grep -qE "$1" "$server_log" && return
        sleep 0.05
    done
    cat "$server_log"
    return 1
}

serve load_balancer --backends "$list" --interval 0.1 --grace 1
balancer=$host:$port
check "load_balancer: 30 connections" each 30 hello
kill -USR1 "$server_pid"
in_turn() {
    for n in 0 1 2; do says_so "^${addrs[n]}: up, 0 open, 10 served$"; done
}
check "load_balancer: in turn" in_turn

# One dies: nobody notices, neither before it is found out nor after.
end_backend 1
check "load_balancer: one has died, nobody is refused" each 10 dead
check "load_balancer: it is found out" says_so "^${addrs[1]}: down$"
check "load_balancer: nor later" each 10 down

# It comes back, with the same address.
"$target/release/examples/echo" --addr "${addrs[1]}" >"$logs/echo-again.log" 2>&1 &
pids[1]=$!
check "load_balancer: it is back" says_so "^${addrs[1]}: up$"
check "load_balancer: and served again" each 6 back

# Under load one dies: no request fails while another lives. (Connections that it had are its own.)
flood() {
    local clients=() n
    for n in 1 2 3 4; do
        each 50 "client $n" &
        clients+=($!)
    done
    kill "${pids[2]}"
    for n in "${clients[@]}"; do wait "$n"; done
}
# Between two of its connections: an echo that is being answered while its server dies is cut off, by whatever balancer.
printf '%s\n' "${addrs[0]}" "${addrs[1]}" >"$list"
kill -HUP "$server_pid"
check "load_balancer: one is taken out of the list" says_so "^${addrs[2]}: no further connections, 0 open$"
check "load_balancer: it dies under load, unnoticed" flood
wait "${pids[2]}" || true

# A connection that is open when its backend is taken out stays.
connect open
echo 'still there?' >&"$open"
IFS= read -r -t 10 line <&"$open" || fail "load_balancer: no answer"
printf '%s\n' "${addrs[0]}" >"$list"
kill -HUP "$server_pid"
check "load_balancer: another one is taken out" says_so "^${addrs[1]}: no further connections"
echo 'and now?' >&"$open"
IFS= read -r -t 10 line <&"$open" || fail "load_balancer: an open connection was cut off"
[ "$line" = 'and now?' ] || fail "load_balancer: $line"
exec {open}>&-

: >"$list"
kill -HUP "$server_pid"
check "load_balancer: an empty list is refused" says_so 'names no backend'
check "load_balancer: and changes nothing" each 3 still
check "load_balancer: port in use" refused "$target/release/examples/load_balancer" --addr "$balancer" 127.0.0.1:1
check "load_balancer: no backends" \
    bash -c "! '$target/release/examples/load_balancer' 2>'$logs/none.log' && grep -q ADDRS '$logs/none.log'"
stop TERM

serve load_balancer --policy fewest "${addrs[0]}" "${addrs[1]}"
connect one && connect two && connect three
spread() {
    local fd
    for fd in $one $two $three; do
        echo hello >&"$fd"
        IFS= read -r -t 10 line <&"$fd"
    done
    kill -USR1 "$server_pid"
    says_so "^${addrs[0]}: up, [12] open"
    says_so "^${addrs[1]}: up, [12] open"
}
check "load_balancer: to the one with the fewest" spread
exec {one}>&- {two}>&- {three}>&-
stop INT

# Draining: when it is to end, nobody gets in any more, and who is in may finish.
serve load_balancer --grace 10 "${addrs[0]}"
connect last
drain() {
    local line
    echo first >&"$last"
    IFS= read -r -t 10 line <&"$last"
    kill -TERM "$server_pid"
    # Refused as soon as it has heard of it.
    for _ in $(seq 200); do
        nc -z "$host" "$port" || break
        sleep 0.05
    done
    if nc -z "$host" "$port"; then return 1; fi
    echo second >&"$last"
    IFS= read -r -t 10 line <&"$last"
    [ "$line" = second ]
}
check "load_balancer: who is in may finish" drain
exec {last}>&-
status=0
wait "$server_pid" || status=$?
server_pid=
[ $status -eq 0 ] || fail "load_balancer: exit status $status after draining"
check "load_balancer: and then it ends" grep -q 'stopped after .* drained: 1,' "$server_log"
end_backend 0
end_backend 1
