# echo and echo_client, with nc and with each other.

echo_line() { [ "$(ask 'hello\n')" = hello ]; }

# More than any socket buffer, so that both directions fill up and have to wait for each other.
echo_big() {
    head -c 16777216 /dev/urandom >"$logs/big.in"
    nc -N -w 5 "$host" "$port" <"$logs/big.in" >"$logs/big.out"
    cmp "$logs/big.in" "$logs/big.out"
    rm "$logs/big.in" "$logs/big.out"
}

client() { "$target/release/examples/echo_client" --addr "$host:$port" "$@"; }

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
