# http_hello, with curl, nc, and wrk with 1,000 connections.

get() { [ "$(curl -sS --max-time 5 "http://$host:$port$1")" = "$2" ]; }

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
