# proxy: curl through SOCKS 5 and through a plain forwarder, nc for half-closes.

# Behind it: the HTTP server and the echo server, started as `serve` does, but beside the proxy.
backends=()
behind() {
    serve "$@"
    backends+=("$server_pid")
    server_pid=
}
behind http_hello
web=$host:$port
behind echo
echoes=$host:$port

through() {
    local got
    got=$(curl -sS --max-time 5 "$@" "http://$web/hello")
    echo "got: $got"
    [ "$got" = 'Hello, world!' ]
}

# curl's exit status 97: the proxy said no; the words are curl's, the code the protocol's.
fails_with() {
    local want=$1 status=0
    shift
    curl -sS --max-time 5 "$@" >"$logs/curl.log" 2>&1 || status=$?
    cat "$logs/curl.log"
    [ "$status" -eq 97 ]
    grep -qE "$want" "$logs/curl.log"
}

# 16 MiB there and back; nc shuts its side down at the end, and the end has to be carried over for it to end.
big() {
    head -c 16777216 /dev/urandom >"$logs/proxy.in"
    nc -N -w 5 "$host" "$port" <"$logs/proxy.in" >"$logs/proxy.out"
    cmp "$logs/proxy.in" "$logs/proxy.out"
    rm "$logs/proxy.in" "$logs/proxy.out"
}

# socks HEX WANT: what the request bytes are answered with, both in hexadecimal.
socks() {
    local got
    got=$(printf -- "$1" | nc -N -w 5 "$host" "$port" | od -An -v -tx1 | tr -d ' \n')
    echo "want: $2  got: $got"
    [[ "$got" == $2 ]]
}

serve proxy --patience 2
proxy=$host:$port
check "proxy: curl --socks5" through --socks5 "$proxy"
check "proxy: curl --socks5-hostname" through --socks5-hostname "$proxy"
check "proxy: a name is resolved here" \
    [ "$(curl -sS --max-time 5 --socks5-hostname "$proxy" "http://localhost:${web##*:}/")" = 'Hello, world!' ]
check "proxy: nobody listens there" fails_with '(\(5\)|refused)' --socks5 "$proxy" http://127.0.0.1:1/
check "proxy: a name that nobody knows" fails_with '(\(4\)|unreachable)' --socks5-hostname "$proxy" http://no.such.name.invalid/
check "proxy: not SOCKS" socks 'GET / HTTP/1.1\r\n\r\n' ''
check "proxy: SOCKS 4" socks '\004\001\000\120\177\000\000\001\000' ''
check "proxy: no method in common" socks '\005\001\002' 05ff
check "proxy: BIND is refused" socks '\005\001\000\005\002\000\001\177\000\000\001\000\001' '050005070001000000000000'
check "proxy: an unknown kind of address" socks '\005\001\000\005\001\000\007' '050005080001000000000000'
check "proxy: a name with a space" socks '\005\001\000\005\001\000\003\003a b\000\120' 0500
# Half of a greeting, and then nothing: the end comes after --patience, and not from `rest`'s limit.
slow() {
    local client took
    connect client
    printf '\005' >&"$client"
    took=$(seconds_of rest client)
    echo "took about $took s"
    [ "$took" -ge 1 ] && [ "$took" -le 5 ]
}
check "proxy: who says nothing has to go" slow
# It keeps a pipe or two for the next splice.
check "proxy: hostile input" withstands socks5 --spare 8
check "proxy: port in use" refused "$target/release/examples/proxy" --addr "$proxy"
check "proxy: a login that is none" misused proxy --login nobody
stop TERM

serve proxy --login ada:secret
check "proxy: with a password" through --socks5 "$host:$port" --proxy-user ada:secret
check "proxy: with a wrong one" fails_with 'rejected|auth|User' --socks5 "$host:$port" --proxy-user ada:wrong "http://$web/"
check "proxy: without one" fails_with 'auth|method' --socks5 "$host:$port" "http://$web/"
stop INT

serve proxy --to "$web"
check "proxy: forwarding to a web server" [ "$(curl -sS --max-time 5 "http://$host:$port/")" = 'Hello, world!' ]
stop INT

serve proxy --to "$echoes"
check "proxy: forwarding 16 MiB, with its end" big
# An open connection does not keep it from ending.
connect open
stop INT
exec {open}>&-

serve proxy --to "$echoes" --idle 1
# A line is answered, and then nothing is said: the end comes by itself.
idle() {
    local client line took
    connect client
    echo hello >&"$client"
    IFS= read -r -t 10 line <&"$client"
    [ "$line" = hello ]
    took=$(seconds_of rest client)
    echo "took about $took s"
    [ "$took" -le 5 ]
}
check "proxy: a connection on which nothing happens" idle
stop INT

for server_pid in "${backends[@]}"; do kill "$server_pid" && wait "$server_pid"; done
server_pid=
