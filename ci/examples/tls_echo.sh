# tls_echo, with openssl and with a client of its own.

cert=$logs/tls_echo.pem
s_client() {
    timeout 10 openssl s_client -connect "$host:$port" -servername localhost -CAfile "$cert" -verify_return_error \
        -quiet -no_ign_eof "$@" 2>"$logs/s_client.log" || { cat "$logs/s_client.log"; return 1; }
}

# openssl ends when its input does, also if the answer is not there yet: the input waits a moment.
line() { [ "$( (echo hello; sleep 0.5) | s_client "$@")" = hello ]; }

too_old() {
    local status=0
    timeout 10 openssl s_client -connect "$host:$port" -tls1_1 -cipher ALL:@SECLEVEL=0 </dev/null || status=$?
    [ $status -eq 1 ]
}

by_ourselves() {
    head -c 5000000 /dev/urandom >"$logs/tls.in"
    example tls_echo --connect "localhost:$port" --ca "$cert" <"$logs/tls.in" >"$logs/tls.out"
    cmp "$logs/tls.in" "$logs/tls.out"
    rm "$logs/tls.in" "$logs/tls.out"
}

# Who is not trusted, or is somebody else, is not talked to.
mistrust() {
    local status=0
    openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=other -days 1 -keyout "$logs/other.key" -out "$logs/other.pem"
    example tls_echo --connect "localhost:$port" --ca "$logs/other.pem" </dev/null || status=$?
    echo hello | example tls_echo --connect "localhost:$port" --ca "$logs/other.pem" >"$logs/mistrust.log" 2>&1 || status=$?
    cat "$logs/mistrust.log"
    [ $status -eq 1 ]
    grep -q 'invalid peer certificate' "$logs/mistrust.log"
}

serve tls_echo --self-signed "$cert"
check "tls_echo: openssl, TLS 1.3" line -tls1_3
check "tls_echo: openssl, TLS 1.2" line -tls1_2
check "tls_echo: TLS 1.1 is too old" too_old
check "tls_echo: 5 MB, our client" by_ourselves
check "tls_echo: a server that is not trusted" mistrust
check "tls_echo: no TLS at all" bash -c "printf 'GET / HTTP/1.1\r\n\r\n' | nc -N -w 5 $host $port | od -An -tx1 | head -1 | grep -q '^ 15 03'"
check "tls_echo: hostile input" withstands tls
check "tls_echo: others go on" line
check "tls_echo: port in use" refused "$target/release/examples/tls_echo" --addr "$host:$port" --self-signed "$cert"
stop TERM

# With a certificate of somebody's own.
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost -days 1 \
    -keyout "$logs/own.key" -out "$cert" 2>"$logs/req.log"
serve tls_echo --cert "$cert" --key "$logs/own.key"
check "tls_echo: a certificate of one's own" line
stop INT
no_cert() {
    local status=0
    example tls_echo "$@" >"$logs/no_cert.log" 2>&1 || status=$?
    cat "$logs/no_cert.log"
    [ $status -eq 1 ]
    absent panicked "$logs/no_cert.log"
}
check "tls_echo: no certificate" no_cert
check "tls_echo: a key that is none" no_cert --cert "$cert" --key "$cert"
check "tls_echo: a file that is not there" no_cert --cert /no/such --key /no/such
