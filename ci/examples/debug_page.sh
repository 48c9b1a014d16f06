# The debug pages of a loaded echo server: the live page in a headless Chromium, metrics by Prometheus' own parser.

python=$target/tools/bin/python3
[ -x "$python" ] || python=python3

browse() {
    timeout 60 chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
        --disable-background-networking --disable-component-update --disable-sync \
        --user-data-dir="$logs/chromium" --enable-logging=stderr --v=0 "$@" 2>"$logs/chromium.log"
}

# page WIDTH: it draws the machine, and the console stays empty.
page() {
    browse --window-size="$1,900" --virtual-time-budget=4000 --dump-dom "http://$pages/" >"$logs/page.html"
    absent 'CONSOLE' "$logs/chromium.log"
    local part
    for part in 'P0</b>' 'M1</b>' 'runnext' 'waiting' 'net read' 'steals'; do
        grep -q "$part" "$logs/page.html" || { echo "no $part"; return 1; }
    done
}

metrics() {
    curl -sS --max-time 10 "http://$pages/metrics" >"$logs/metrics.txt"
    "$python" - "$logs/metrics.txt" <<'PYTHON'
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families

families = {f.name: f for f in text_string_to_metric_families(open(sys.argv[1]).read())}
for name in ["corio_goroutines", "corio_threads", "corio_steals", "corio_scheduling_latency_seconds", "corio_accepts"]:
    assert families[name].samples, name
PYTHON
}

# A trace is JSON, and a second one at the same time is refused.
traces() {
    curl -sS --max-time 10 "http://$pages/debug/trace?seconds=1" >"$logs/trace.json" &
    local first=$!
    until curl -sS --max-time 5 "http://$pages/debug/state" | grep -q '"tracing":true'; do
        kill -0 $first
    done
    status 409 "http://$pages/debug/trace?seconds=1"
    wait $first
    python3 -m json.tool "$logs/trace.json" >/dev/null
}

serve echo --debug 127.0.0.1:0
pages=
for _ in $(seq 200); do
    pages=$(sed -n 's,^debug pages: http://\(.*\)/$,\1,p' "$server_log")
    [ -n "$pages" ] && break
    sleep 0.05
done
"$target/release/examples/echo_client" --addr "$host:$port" --conns 1000 --duration 60 >"$logs/load.log" 2>&1 &
load=$!
check "debug pages: healthz" status 200 "http://$pages/healthz"
check "debug pages: readyz" status 200 "http://$pages/readyz"
check "debug pages: metrics, parsed" metrics
check "debug pages: traces, one at a time" traces
check "debug pages: the live page" page 1280
check "debug pages: the live page on a phone" page 360
kill -INT $load
wait $load || true
stop INT
