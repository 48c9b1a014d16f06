# hyper_server, with curl over both protocols, and h2load.

# fetch PROTOCOL PATH TEXT
fetch() { [ "$(curl -sS --max-time 5 "$1" "http://$host:$port$2")" = "$3" ]; }

echoed() {
    [ "$(curl -sS --max-time 5 "$1" -d '{ "a": [1, 2] }' "http://$host:$port/echo")" = '{"a":[1,2]}' ]
}

streamed() {
    curl -sS --max-time 5 "$1" "http://$host:$port/stream" | cmp - <(seq -f 'line %.0f' 1000)
}

too_long() {
    head -c 2000000 /dev/zero >"$logs/body"
    status 413 "$1" --data-binary "@$logs/body" "http://$host:$port/echo"
}

# Garbage after HTTP/2's preface: the connection ends, after an error or at once.
garbage() {
    { printf 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'; head -c 100000 /dev/urandom; } |
        timeout 5 nc -N -w 5 "$host" "$port" >/dev/null || [ $? -ne 124 ]
}

load() {
    h2load -n 20000 -c 10 -m 10 $1 "http://$host:$port/" | tee "$logs/h2load.txt"
    grep -q '20000 succeeded, 0 failed' "$logs/h2load.txt"
}

serve hyper_server
for protocol in --http1.1 --http2-prior-knowledge; do
    check "hyper_server: $protocol: GET /" fetch $protocol / 'Hello, world!'
    check "hyper_server: $protocol: JSON comes back" echoed $protocol
    check "hyper_server: $protocol: a body as it is made" streamed $protocol
    check "hyper_server: $protocol: 404" status 404 $protocol "http://$host:$port/nothing"
    check "hyper_server: $protocol: 405" status 405 $protocol -X PUT "http://$host:$port/"
    check "hyper_server: $protocol: not JSON" status 400 $protocol -d '{' "http://$host:$port/echo"
done
# Over HTTP/2 curl may report that the rest of the body was refused, before it reads the answer.
check "hyper_server: too long" too_long --http1.1
connect quiet
check "hyper_server: malformed" answers 'nonsense\r\n\r\n' 400
check "hyper_server: garbage over HTTP/2" garbage
check "hyper_server: pipelined" \
    answers 'GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' 200 200
check "hyper_server: h2load, HTTP/2" load ''
check "hyper_server: h2load, HTTP/1.1" load --h1
printf 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' >&"$quiet"
check "hyper_server: another connection was not disturbed" grep -q 'Hello, world!' <(rest quiet)
stop INT
serve hyper_server
stop TERM
