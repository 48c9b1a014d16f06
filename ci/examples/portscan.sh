# portscan, on 127.0.0.1, against listeners of our own.

# Three listeners, on ports that the system chooses. One of them has a queue of one connection that is full: it does
# not answer, as a port behind a firewall would not.
cat >"$logs/listeners.py" <<'END'
import socket, sys
def listener(backlog):
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(backlog)
    return sock
opened = [listener(100) for _ in range(2)]
full = listener(0)
waiting = []
for _ in range(8):
    sock = socket.socket()
    sock.setblocking(False)
    sock.connect_ex(full.getsockname())
    waiting.append(sock)
print(*sorted(sock.getsockname()[1] for sock in opened), full.getsockname()[1], flush=True)
sys.stdin.read()
END
mkfifo "$logs/listeners.in"
python3 "$logs/listeners.py" <"$logs/listeners.in" >"$logs/listeners.out" &
exec {listeners}>"$logs/listeners.in"
for _ in $(seq 200); do
    [ -s "$logs/listeners.out" ] && break
    sleep 0.05
done
read -r first second full <"$logs/listeners.out" || fail "portscan: no listeners"

scan() { example portscan "$@" | tee "$logs/scan.txt"; }

# Nobody else listens on a port below 10.
some() {
    scan 127.0.0.1 --ports "$second,1-9,$first"
    [ "$(head -2 "$logs/scan.txt")" = "$first open"$'\n'"$second open" ]
    grep -qE '^127\.0\.0\.1: 2 open, 9 closed, 0 filtered of 11 ports in ' "$logs/scan.txt"
}

by_name() {
    scan localhost --ports "$first"
    grep -qE ': (1 open, 0|0 open, 1) closed, 0 filtered of 1 ports' "$logs/scan.txt"
}

filtered() {
    scan 127.0.0.1 --ports "$full" --timeout 0.3
    grep -q ': 0 open, 0 closed, 1 filtered of 1 ports' "$logs/scan.txt"
}

# With more attempts than descriptors it would fail at once.
all() {
    scan 127.0.0.1 --ports 1-65535 --parallel 100 --timeout 5
    grep -qx "$first open" "$logs/scan.txt"
    grep -qx "$second open" "$logs/scan.txt"
    sort -n -c <(sed -n 's/ open$//p' "$logs/scan.txt")
    grep -qE ' of 65535 ports in ' "$logs/scan.txt"
    absent failed "$logs/scan.txt"
}

overlapping() {
    scan 127.0.0.1 --ports '1-5,3-9,9,2' | grep -q ' of 9 ports'
}

# Ctrl-C: what is known by then is printed, at once and with status 0.
cut_off() {
    local pid start=$SECONDS
    # Not by `example`, which would be a process of its own.
    "$target/release/examples/portscan" 127.0.0.1 --ports "1-9,$full" --parallel 1 --timeout 60 >"$logs/cut.txt" &
    pid=$!
    # It cannot be told from outside when it has come to the port that doesn't answer; any moment will do.
    sleep 0.5
    kill -INT $pid
    wait $pid
    cat "$logs/cut.txt"
    [ $((SECONDS - start)) -lt 10 ]
    grep -q '(cut short)' "$logs/cut.txt"
}

check "portscan: open and closed, in order" some
check "portscan: a host's name" by_name
check "portscan: one that doesn't answer" filtered
check "portscan: all ports, 100 at once" all
tail -1 "$logs/scan.txt"
check "portscan: ranges that overlap" overlapping
check "portscan: Ctrl-C" cut_off
check "portscan: no such port" misused portscan --ports 70000
check "portscan: a range that ends before it begins" misused portscan --ports 9-1
check "portscan: nothing" misused portscan --ports ''
exec {listeners}>&-
wait
