# http_server, with curl, nc, wrk and hey, in the clear and over TLS.

web=$logs/web
mkdir -p "$web/sub" "$web/.git"
echo '<p>index</p>' >"$web/index.html"
echo '<p>sub</p>' >"$web/sub/index.html"
echo 'body { margin: 0 }' >"$web/style.css"
echo secret >"$web/.git/config"
echo 'ü' >"$web/ü b.txt"
head -c 20000000 /dev/urandom >"$web/big.bin"
ln -sf /etc/passwd "$web/passwd"
ln -sf style.css "$web/link.css"

fetch() { curl -sS --max-time 10 "$@"; }

# fetched WANT PATH [ARGUMENT...]: the body.
fetched() {
    local got
    got=$(fetch "${@:3}" "$url$2")
    echo "want: $1  got: $got"
    [ "$got" = "$1" ]
}

# field NAME WANT ARGUMENT...: a field of the response's head.
field() {
    local got
    got=$(fetch -o /dev/null -D - "${@:3}" | tr -d '\r' | sed -n "s/^$1: //Ip")
    echo "want $1: $2  got: $got"
    [[ "$got" == $2 ]]
}

whole() { fetch "$url/big.bin" "$@" | cmp - "$web/big.bin"; }

# part RANGE SKIP COUNT: the bytes of a range, and its status.
part() {
    fetch -H "Range: bytes=$1" "$url/big.bin" | cmp - <(tail -c "+$(($2 + 1))" "$web/big.bin" | head -c "$3")
    status 206 -H "Range: bytes=$1" "$url/big.bin"
}

not_modified() {
    local etag date
    etag=$(fetch -I "$url/style.css" | tr -d '\r' | sed -n 's/^ETag: //p')
    date=$(fetch -I "$url/style.css" | tr -d '\r' | sed -n 's/^Last-Modified: //p')
    status 304 -H "If-None-Match: $etag" "$url/style.css"
    status 304 -H "If-None-Match: \"x\", W/$etag" "$url/style.css"
    status 200 -H 'If-None-Match: "x"' "$url/style.css"
    status 304 -H "If-Modified-Since: $date" "$url/style.css"
    status 200 -H 'If-Modified-Since: Mon, 01 Jan 2001 00:00:00 GMT' "$url/style.css"
    # A part of the version that is known, or all of the new one.
    status 206 -H 'Range: bytes=0-3' -H "If-Range: $etag" "$url/style.css"
    status 200 -H 'Range: bytes=0-3' -H 'If-Range: "x"' "$url/style.css"
}

# None of them leads out of the directory, or to what is hidden.
no_way_out() {
    local path
    for path in /../http_server.sh /%2e%2e/%2e%2e/etc/passwd /..%2f..%2fetc/passwd /sub/../../x /.git/config \
        /%2egit/config /passwd '/a\b' /missing /style.css/ /sub/missing; do
        status 404 --path-as-is "$url$path"
    done
    status 400 --path-as-is "$url/%zz"
    status 400 --path-as-is "$url/%ff"
}

# A body in chunks, as curl sends one whose length it does not know.
chunked() {
    head -c 300000 /dev/zero | tr '\0' 7 | sed 's/^/"/; s/$/"/' >"$logs/value.json"
    fetch -H 'Transfer-Encoding: chunked' -H 'Expect:' --data-binary "@$logs/value.json" "$url/json/echo" >"$logs/echo.json"
    python3 -c 'import json, sys; a = json.load(open(sys.argv[1])); assert a == {"echo": "7" * 300000, "bytes": 300002}' \
        "$logs/echo.json"
}

# curl sends a long body only after it was told to; the server says so, and only then.
continues() {
    fetch -v -H 'Expect: 100-continue' --data-binary "@$logs/value.json" "$url/json/echo" 2>&1 >/dev/null | tee "$logs/expect.txt"
    grep -q 'HTTP/1.1 100 Continue' "$logs/expect.txt"
    head -c 2000000 /dev/zero >"$logs/long"
    fetch -v -H 'Expect: 100-continue' --data-binary "@$logs/long" "$url/json/echo" 2>&1 >/dev/null | tee "$logs/expect.txt"
    grep -q 'HTTP/1.1 413' "$logs/expect.txt"
    absent '100 Continue' "$logs/expect.txt"
}

counted() { fetch "$@" "$url/count/100000" | cmp - <(seq 100000); }

keeps_alive() {
    fetch -v "$url/style.css" --next -v "$url/missing" --next -v "$url/json/hello/you" >"$logs/reuse.txt" 2>&1
    [ "$(grep -ci 're-using existing .*connection' "$logs/reuse.txt")" -eq 2 ]
}

# Byte for byte what pipelined requests are answered with, dates aside.
pipelined_bytes() {
    local end='Host: a\r\n\r\n'
    ask "GET /plaintext HTTP/1.1\r\n${end}HEAD /json/hello/x HTTP/1.1\r\n${end}POST /json/echo HTTP/1.1\r\nContent-Length: 2\r\n${end}[]GET /plaintext HTTP/1.1\r\nConnection: close\r\n$end" |
        sed 's/^Date: .* GMT\r$/Date: now\r/' >"$logs/got"
    {
        printf 'HTTP/1.1 200 OK\r\nDate: now\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 13\r\n\r\nHello, World!'
        printf 'HTTP/1.1 200 OK\r\nDate: now\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n'
        printf 'HTTP/1.1 200 OK\r\nDate: now\r\nContent-Type: application/json\r\nContent-Length: 22\r\n\r\n{"bytes":2,"echo":[]}\n'
        printf 'HTTP/1.1 200 OK\r\nDate: now\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 13\r\n\r\nHello, World!'
    } >"$logs/want"
    cat "$logs/got"
    cmp "$logs/want" "$logs/got"
}

many_requests() {
    local one='GET /plaintext HTTP/1.1\r\nHost: a\r\n\r\n' all=
    for _ in $(seq 500); do all+=$one; done
    [ "$(ask "$all" | grep -o 'HTTP/1.1 200 OK' | wc -l)" -eq 500 ]
}

wrk_load() {
    wrk -t 2 -c 1000 -d 2s --latency "$url/plaintext" | tee "$logs/wrk.txt"
    grep -q 'requests in' "$logs/wrk.txt"
    absent 'socket errors|non-2xx|^ *0 requests in' "$logs/wrk.txt"
}

hey_load() {
    hey -n 20000 -c 100 "$url/style.css" | tee "$logs/hey.txt"
    grep -qE '\[200\]\s+20000 responses' "$logs/hey.txt"
    absent 'error distribution' "$logs/hey.txt"
}

# Half a request, and then nothing: 408, and the end.
slow() {
    local client got
    connect client
    printf 'GET / HTTP/1.1\r\nHo' >&"$client"
    got=$(timeout 15 head -1 <&"$client")
    echo "got: $got"
    [[ "$got" == 'HTTP/1.1 408 '* ]]
}

serve http_server --root "$web"
url=http://$host:$port
check "http_server: a directory's index" fetched '<p>index</p>' /
check "http_server: another one's" fetched '<p>sub</p>' /sub/
check "http_server: a directory without its slash" status 404 "$url/sub"
check "http_server: a name with a space, and not ASCII" fetched 'ü' '/%C3%BC%20b.txt'
check "http_server: a query is no part of the name" fetched 'body { margin: 0 }' '/style.css?v=2'
check "http_server: a link inside of the directory" fetched 'body { margin: 0 }' /link.css
check "http_server: a kind" field Content-Type 'text/css; charset=utf-8' "$url/style.css"
check "http_server: 20 MB, by sendfile" whole
check "http_server: HEAD" field Content-Length 20000000 -I "$url/big.bin"
check "http_server: a part" part 100-299 100 200
check "http_server: from there on" part 19999990- 19999990 10
check "http_server: the last ones" part -5 19999995 5
check "http_server: beyond the end" field Content-Range 'bytes \*/20000000' -H 'Range: bytes=20000000-' "$url/big.bin"
check "http_server: a range that is none" status 200 -H 'Range: bytes=5-2' "$url/style.css"
check "http_server: what is known already" not_modified
check "http_server: no way out" no_way_out
check "http_server: JSON" fetched '{"hello":"you"}' /json/hello/you
check "http_server: JSON back" fetched '{"bytes":9,"echo":{"a":[1]}}' /json/echo -d '{"a":[1]}'
check "http_server: JSON that is none" status 400 -d '{' "$url/json/echo"
check "http_server: a body in chunks" chunked
check "http_server: 100-continue, or not" continues
check "http_server: an answer in chunks" counted
check "http_server: keep-alive" keeps_alive
check "http_server: HTTP/1.0" status 200 --http1.0 "$url/style.css"
check "http_server: 405" field Allow 'GET, HEAD' -X DELETE "$url/style.css"
check "http_server: 405 for JSON" field Allow POST "$url/json/echo"
check "http_server: pipelined, byte for byte" pipelined_bytes
check "http_server: 500 pipelined" many_requests
check "http_server: pipelined behind a body in chunks" \
    answers 'POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nTrailer: t\r\n\r\nGET /plaintext HTTP/1.1\r\nHost: a\r\n\r\n' 405 200
check "http_server: two lengths" \
    answers 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nabGET' 400
check "http_server: a length and a coding" \
    answers 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n' 400
check "http_server: an unknown coding" answers 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n' 501
check "http_server: chunks in HTTP/1.0" answers 'POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n' 400
check "http_server: no host" answers 'GET / HTTP/1.1\r\n\r\n' 400
check "http_server: two hosts" answers 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n' 400
check "http_server: a chunk's size that is none" \
    answers 'POST /json/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n' 400
check "http_server: malformed" answers 'nonsense\r\n\r\n' 400
check "http_server: HTTP/2 by surprise" answers 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' 505
check "http_server: a header too large" \
    answers "GET / HTTP/1.1\r\nHost: a\r\nX: $(head -c 20000 /dev/zero | tr '\0' x)\r\n\r\n" 431
check "http_server: half a request" slow
check "http_server: hostile input, and 1,000 that never finish their request" withstands http --hold 1000
check "http_server: wrk, 1,000 connections" wrk_load
check "http_server: hey" hey_load
check "http_server: port in use" refused "$target/release/examples/http_server" --addr "$host:$port"
no_root() {
    local status=0
    example http_server --root /no/such >"$logs/no_root.log" 2>&1 || status=$?
    cat "$logs/no_root.log"
    [ $status -eq 1 ]
    grep -q '^http_server: no such root: /no/such' "$logs/no_root.log"
}
check "http_server: a root that is none" no_root
stop INT

# Ctrl-C under load: every request that was read is answered, so hey sees no answer cut off.
serve http_server --root "$web"
url=http://$host:$port
wrk -t 2 -c 1000 -d 5s "$url/plaintext" >"$logs/wrk-cut.txt" 2>&1 &
wrk_pid=$!
check "http_server: under load" fetched 'Hello, World!' /plaintext
stop INT
kill "$wrk_pid" 2>/dev/null || true
wait "$wrk_pid" || true

serve http_server --root "$web" --self-signed "$logs/cert.pem"
url=https://localhost:$port
tls=(--cacert "$logs/cert.pem")
check "http_server: HTTPS" fetched 'body { margin: 0 }' /style.css "${tls[@]}"
negotiated() {
    timeout 10 openssl s_client -connect "$host:$port" -alpn h2,http/1.1 </dev/null 2>&1 | tee "$logs/alpn.txt" | tail -3
    grep -q '^ALPN protocol: http/1.1' "$logs/alpn.txt"
}
check "http_server: HTTPS, ALPN" negotiated
check "http_server: HTTPS, 20 MB" whole "${tls[@]}"
check "http_server: HTTPS, in chunks" counted "${tls[@]}"
check "http_server: HTTPS, JSON back" fetched '{"bytes":9,"echo":{"a":[1]}}' /json/echo -d '{"a":[1]}' "${tls[@]}"
# curl's exit status for a certificate that can't be verified, and for an answer that is none.
curl_fails() {
    local want=$1 status=0
    curl -sS --max-time 5 "${@:2}" >/dev/null || status=$?
    echo "want $want, got $status"
    [ $status -eq "$want" ]
}
check "http_server: HTTPS, not trusted" curl_fails 60 "$url/"
check "http_server: HTTPS, in the clear" curl_fails 1 "http://$host:$port/"
check "http_server: HTTPS, hostile input" withstands https
check "http_server: HTTPS, openssl s_client" bash -c "printf 'GET /plaintext HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' |
    timeout 10 openssl s_client -connect $host:$port -servername localhost -CAfile '$logs/cert.pem' -verify_return_error -quiet -ign_eof 2>/dev/null |
    grep -q 'Hello, World!'"
stop TERM
rm "$web/big.bin"
