# websocket, with Python's websockets and with pages in headless Chromium.

python=python3
[ ! -x "$target/tools/bin/python3" ] || python=$target/tools/bin/python3
ws() { timeout 60 "$python" ci/examples/websocket.py "$@"; }

get() { curl -sS --max-time 5 "$@" "http://$host:$port/"; }
page() { get | grep -q '<title>WebSocket room</title>'; }

# A page in a browser says hello, and shows what it hears. The browser skips waiting times, and may now and then
# print the page before the answer is there.
hello() {
    local profile
    for _ in 1 2 3 4 5; do
        profile=$(mktemp -d)
        chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
            --disable-component-update --disable-sync --user-data-dir="$profile" --enable-logging=stderr --v=0 \
            --virtual-time-budget=10000 --dump-dom "http://$host:$port/#hello" 2>"$logs/chromium.log" >"$logs/dom.html"
        rm -rf "$profile"
        absent 'CONSOLE.*error' "$logs/chromium.log"
        grep -q '<p id="state">connected</p>' "$logs/dom.html" && grep '<li>hello</li>' "$logs/dom.html" && return
    done
    cat "$logs/dom.html"
    return 1
}

serve websocket --outbox 16
check "websocket: the page" page
check "websocket: 404" status 404 "http://$host:$port/nothing"
check "websocket: 405" status 405 -X POST "http://$host:$port/"
check "websocket: a head too large" status 431 -H "X: $(head -c 9000 /dev/zero | tr '\0' x)" "http://$host:$port/"
check "websocket: no HTTP" answers 'nonsense\r\n\r\n' 400
check "websocket: another version" \
    answers 'GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\n\r\n' 426
check "websocket: no key" \
    answers 'GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n' 400
if "$python" -c 'import websockets' 2>/dev/null; then
    for what in room binary ping close big fragments garbage unmasked slow many; do
        check "websocket: $what" ws "$host" "$port" $what
    done
else
    note+=", websocket's clients in Python skipped (no websockets)"
fi
if command -v chromium >/dev/null; then
    check "websocket: a page in a browser" hello
else
    note+=', websocket in a browser skipped (no chromium)'
fi
check "websocket: hostile input" withstands websocket
check "websocket: port in use" refused "$target/release/examples/websocket" --addr "$host:$port"
stop INT

# Who is there when it ends is told why.
if "$python" -c 'import websockets' 2>/dev/null; then
    serve websocket
    ws "$host" "$port" farewell >"$logs/farewell.log" 2>&1 &
    farewell=$!
    for _ in $(seq 200); do
        grep -q connected "$logs/farewell.log" && break
        sleep 0.05
    done
    stop TERM
    # Not a child of `check`'s subshell.
    wait $farewell || { cat "$logs/farewell.log" >&2; fail "websocket: goodbye"; }
    echo "ok: websocket: goodbye"
fi
