# udp_echo, with nc and with ci/examples/udp_client.py, which counts what is lost.

# nc ends when nothing has come for a second.
udp_line() { [ "$(echo "$1" | nc -u -w 1 "$host" "$port")" = "$1" ]; }

udp_client() { python3 ci/examples/udp_client.py "$host" "$port" "$@" | tee "$logs/udp.txt"; }

# Sent and not waited for: all that the server has counted has come back, and what has not was lost in a queue.
flood() {
    udp_client flood 20000 64
    grep -q ' 0 wrong' "$logs/udp.txt"
}

serve udp_echo
check "udp_echo: a line through nc" udp_line hello
check "udp_echo: one at a time, of all lengths" udp_client lengths
check "udp_echo: 20 clients" udp_client clients 20 200
check "udp_echo: 20,000 at once" flood
cat "$logs/udp.txt"
check "udp_echo: a line after that" udp_line again
check "udp_echo: port in use" refused "$target/release/examples/udp_echo" --addr "$host:$port"
check "udp_echo: nobody receives" misused udp_echo --receivers 0
stop INT

serve udp_echo --max 100 --receivers 1 --report 0.2
check "udp_echo: too long is dropped" udp_client limit 100
# Every 0.2 s there is one; within 10 s.
reported() {
    for _ in $(seq 200); do
        grep -q '^udp_echo: echoed ' "$server_log" && return
        sleep 0.05
    done
    return 1
}
check "udp_echo: a report" reported
stop TERM
check "udp_echo: what was dropped is counted" grep -qE 'dropped: 1 too long' "$server_log"
