# redis_lite, with redis-cli, redis-benchmark, and connections of this shell.

cli() { redis-cli -h "$host" -p "$port" "$@"; }

# replies WANT COMMAND...: what redis-cli prints for the command. (No terminal: bare values, an empty line for none.)
replies() {
    local got
    got=$(cli "${@:2}")
    echo "want: $1"
    echo "got: $got"
    [ "$got" = "$1" ]
}

# speaks REQUEST LINE...: the lines, without their CR, that the request bytes must be answered with, all of them.
speaks() {
    local request=$1
    shift
    ask "$request" | tr -d '\r' | diff <(printf '%s\n' "$@") -
}

strings() {
    replies OK set greeting hello
    replies hello get greeting
    replies '' get nothing
    replies '' set greeting other nx
    replies OK set greeting other xx
    replies '' set absent x xx
    replies other get greeting
    replies 1 exists greeting
    replies 2 exists greeting greeting absent
    replies string type greeting
    replies 1 del greeting absent
    replies '' get greeting
    # Any bytes.
    printf 'a\0\r\n\377' | cli -x set binary
    cli --raw get binary | head -c 5 | cmp - <(printf 'a\0\r\n\377')
}

numbers() {
    replies 1 incr n
    replies 11 incrby n 10
    replies 10 decr n
    replies -5 decrby n 15
    replies OK set n 9223372036854775807
    replies 'ERR increment or decrement would overflow' incr n
    replies OK set n 1.5
    replies 'ERR value is not an integer or out of range' incr n
}

expiry() {
    replies OK set e 1 ex 100
    replies 100 ttl e
    replies 1 persist e
    replies -1 ttl e
    replies -2 ttl absent
    replies 0 expire absent 10
    replies 1 pexpire e 1000000000
    replies 1000000 ttl e
    replies 1 expire e -1
    replies 0 exists e
    replies OK set e 1 px 100
    sleep 0.15
    replies '' get e
    # Nobody asks for them, and they go.
    local before
    before=$(cli dbsize)
    cli set swept 1 px 1
    cli set swept2 1 px 1
    for _ in $(seq 200); do
        [ "$(cli dbsize)" -eq "$before" ] && break
        sleep 0.05
    done
    replies "$before" dbsize
    replies "ERR invalid expire time in 'set' command" set e 1 ex 0
    replies "ERR invalid expire time in 'expire' command" expire n 9223372036854775807
}

lists() {
    replies 3 rpush l a b c
    replies 5 lpush l x y
    replies $'y\nx\na\nb\nc' lrange l 0 -1
    replies $'b\nc' lrange l -2 100
    replies '' lrange l 3 2
    replies y lpop l
    replies $'c\nb' rpop l 2
    replies 2 llen l
    replies $'x\na' lpop l 10
    replies 0 exists l
    replies '' lpop l
    replies 1 rpush l again
    replies list type l
}

# Each error as Redis says it.
errors() {
    replies OK set s text
    replies 1 rpush list x
    replies "ERR wrong number of arguments for 'get' command" get
    replies "ERR wrong number of arguments for 'ping' command" ping a b
    replies 'WRONGTYPE Operation against a key holding the wrong kind of value' lpush s x
    replies 'WRONGTYPE Operation against a key holding the wrong kind of value' get list
    replies 'ERR value is not an integer or out of range' incrby n x
    replies "ERR unknown command 'nonsense', with args beginning with: 'a' 'b' " nonsense a b
    replies 'ERR syntax error' set s x nx xx
    replies 'ERR timeout is not a float or out of range' blpop s x
    replies 'ERR timeout is negative' blpop s -1
    replies 'ERR DB index is out of range' select 1
    replies OK select 0
}

protocol() {
    speaks 'PING\r\n*1\r\n$4\r\nPING\r\n  ping  "hello \\x41"\n\r\n*0\r\nQUIT\r\nPING\r\n' +PONG +PONG '$7' 'hello A' +OK
    speaks '*1\r\n$-1\r\n' '-ERR Protocol error: invalid bulk length'
    speaks '*1\r\n$99999999999\r\n' '-ERR Protocol error: invalid bulk length'
    speaks '*9999999\r\n' '-ERR Protocol error: invalid multibulk length'
    speaks 'PING\r\n*1\r\n:1\r\n' +PONG "-ERR Protocol error: expected '\$', got ':'"
    speaks 'GET "a\r\n' '-ERR Protocol error: unbalanced quotes in request'
    head -c 100000 /dev/zero | tr '\0' x | nc -N -w 5 "$host" "$port" | grep -q 'too big inline request'
}

# 10,000 commands in one stream of bytes.
pipelined() {
    for n in $(seq 10000); do printf 'INCR many\r\n'; done | nc -N -w 5 "$host" "$port" | tr -d '\r' |
        diff <(seq 10000 | sed s/^/:/) -
    # And redis-cli's own mass insertion.
    for n in $(seq 1000); do printf 'SET bulk%d %d\r\n' $n $n; done | cli --pipe | tee "$logs/pipe.txt"
    grep -q 'errors: 0, replies: 1000' "$logs/pipe.txt"
}

# Values up to the limit, and not beyond.
large() {
    head -c 5000000 /dev/urandom >"$logs/large"
    cli -x set large <"$logs/large"
    cli --raw get large | head -c 5000000 | cmp - "$logs/large"
    replies 1 del large
}

# waiting N: so many clients wait for an element; within 10 s.
waiting() {
    for _ in $(seq 200); do
        cli info clients | tr -d '\r' | grep -qx "blocked_clients:$1" && return
        sleep 0.05
    done
    return 1
}

says() { printf "$2\r\n" >&"${!1}"; }

# hears NAME LINE...: the next lines that this client gets, within 10 s.
hears() {
    local line want
    for want in "${@:2}"; do
        line=
        IFS= read -r -t 10 line <&"${!1}" || { echo "$1 hears nothing (want: $want)"; return 1; }
        [ "${line%$'\r'}" = "$want" ] || { echo "$1 hears: $line (want: $want)"; return 1; }
    done
}

blocking() {
    local a b c
    connect a
    connect b
    connect c
    # Who has waited longest gets the first one, each gets one.
    says a 'BLPOP q1 q2 0'
    waiting 1
    says b 'BLPOP q2 0'
    waiting 2
    says c 'BRPOP q2 0'
    waiting 3
    # b goes: nothing is lost on it.
    exec {b}>&-
    waiting 2
    replies 3 rpush q2 one two three
    hears a '*2' '$2' q2 '$3' one
    hears c '*2' '$2' q2 '$5' three
    replies two lpop q2
    replies 0 exists q2
    # What comes meanwhile is answered afterwards; what came before has been.
    says a 'PING\r\nBLPOP q3 q4 0\r\nPING w'
    hears a +PONG
    waiting 1
    says a 'PING x'
    replies 1 lpush q4 v
    hears a '*2' '$2' q4 '$1' v '$1' w '$1' x
    # Time runs out; or there is something already.
    says a 'BLPOP q5 0.1'
    hears a '*-1'
    says a 'RPUSH q5 w\r\nBLPOP q0 q5 0'
    hears a :1 '*2' '$2' q5 '$1' w
    waiting 0
    cli info clients | tr -d '\r' | grep -qx 'total_blocking_keys:0'
}

# 20 clients wait, some go; 100 elements come: none is lost, none comes twice.
none_lost() {
    local pids=() pid n
    for n in $(seq 20); do
        cli blpop jobs 30 >"$logs/job.$n" &
        pids+=($!)
    done
    waiting 20
    for pid in "${pids[@]:0:5}"; do kill "$pid"; wait "$pid" || true; done
    seq 100 | sed 's/^/RPUSH jobs /' | cli >/dev/null
    for pid in "${pids[@]:5}"; do wait "$pid"; done
    { sed -n 2p -s "$logs"/job.*; cli lrange jobs 0 -1; } | sort -n | diff <(seq 100) -
}

subscriptions() {
    local sub
    connect sub
    says sub 'SUBSCRIBE news weather'
    hears sub '*3' '$9' subscribe '$4' news :1 '*3' '$9' subscribe '$7' weather :2
    says sub 'PSUBSCRIBE n?w[a-s]*'
    hears sub '*3' '$10' psubscribe '$9' 'n?w[a-s]*' :3
    replies 2 publish news hello
    hears sub '*3' '$7' message '$4' news '$5' hello
    hears sub '*4' '$8' pmessage '$9' 'n?w[a-s]*' '$4' news '$5' hello
    replies 0 publish newt hello
    says sub 'GET x'
    hears sub "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
    says sub 'PING'
    hears sub '*2' '$4' pong '$0' ''
    says sub 'UNSUBSCRIBE news\r\nUNSUBSCRIBE\r\nPUNSUBSCRIBE'
    hears sub '*3' '$11' unsubscribe '$4' news :2 '*3' '$11' unsubscribe '$7' weather :1
    hears sub '*3' '$12' punsubscribe '$9' 'n?w[a-s]*' :0
    says sub 'PING'
    hears sub +PONG
    replies 0 publish news hello
    # Who goes is no subscriber any more.
    says sub 'SUBSCRIBE news'
    hears sub '*3' '$9' subscribe '$4' news :1
    exec {sub}>&-
    for _ in $(seq 200); do
        cli info stats | tr -d '\r' | grep -qx 'pubsub_channels:0' && return
        sleep 0.05
    done
    return 1
}

# One that reads nothing is shut out when its messages would take more than there is room; another gets all.
slow_subscriber() {
    local deaf ear
    connect deaf
    connect ear
    says deaf 'SUBSCRIBE flood'
    says ear 'SUBSCRIBE flood'
    hears deaf '*3' '$9' subscribe '$5' flood :1
    hears ear '*3' '$9' subscribe '$5' flood :1
    (timeout 60 head -c $((20000 * 1037)) <&"$ear" | grep -c '^x' >"$logs/ear.txt") &
    local line
    line=$(head -c 1000 /dev/zero | tr '\0' x)
    for n in $(seq 20000); do echo "PUBLISH flood $line"; done | nc -N "$host" "$port" | tr -d '\r' | sort | uniq -c | tee "$logs/flood.txt"
    wait
    cat "$logs/ear.txt"
    [ "$(cat "$logs/ear.txt")" -eq 20000 ]
    # First both, then one.
    grep -qE ' :2$' "$logs/flood.txt"
    grep -qE ' :1$' "$logs/flood.txt"
    absent ' :0$' "$logs/flood.txt"
}

load() {
    redis-benchmark -h "$host" -p "$port" -q -n 20000 -c 50 -P "$1" -t ping,set,get,incr,lpush,rpush,lpop,rpop,lrange_100 |
        tr '\r' '\n' | grep 'requests per second' | tee "$logs/load.txt"
    [ "$(grep -c 'requests per second' "$logs/load.txt")" -eq 11 ]
}

many_clients() {
    redis-benchmark -h "$host" -p "$port" -q -n 20000 -c 500 -t get | tr '\r' '\n' | grep 'requests per second'
}

admin() {
    [ "$(cli command count)" -gt 30 ]
    cli command | grep -qx blpop
    cli command info get | grep -qx readonly
    replies save config get save
    cli info | tr -d '\r' | grep -qx 'redis_mode:standalone'
    cli info keyspace | tr -d '\r' | grep -qE '^db0:keys=[0-9]+,expires=0'
    replies OK flushall
    replies 0 dbsize
}

serve redis_lite
check "redis_lite: PING, ECHO" replies PONG ping
check "redis_lite: ECHO" replies hi echo hi
check "redis_lite: strings" strings
check "redis_lite: numbers" numbers
check "redis_lite: expiry" expiry
check "redis_lite: lists" lists
check "redis_lite: errors" errors
check "redis_lite: the protocol and its errors" protocol
check "redis_lite: pipelined" pipelined
check "redis_lite: 5 MB" large
check "redis_lite: BLPOP and BRPOP" blocking
check "redis_lite: BLPOP: no element is lost" none_lost
check "redis_lite: SUBSCRIBE and PUBLISH" subscriptions
check "redis_lite: INFO, COMMAND, CONFIG, FLUSHALL" admin
check "redis_lite: redis-benchmark, one request at a time" load 1
cat "$logs/load.txt"
check "redis_lite: redis-benchmark, 16 at a time" load 16
cat "$logs/load.txt"
check "redis_lite: redis-benchmark, 500 clients" many_clients
check "redis_lite: hostile input" withstands resp
check "redis_lite: port in use" refused "$target/release/examples/redis_lite" --addr "$host:$port"
check "redis_lite: no shards" misused redis_lite --shards 0
# Clients that wait do not hold up the end: one for an element, one for messages, one for nothing.
connect waits
connect listens
connect idle
printf 'BLPOP never 0\r\n' >&"$waits"
printf 'SUBSCRIBE ch\r\n' >&"$listens"
printf 'PING\r\n' >&"$idle"
check "redis_lite: a client waits" waiting 1
stop INT
check "redis_lite: the end, for who waits" last_words waits ''
check "redis_lite: the end, for who listens" last_words listens "$(printf '*3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r')"
exec {waits}>&- {listens}>&- {idle}>&-

serve redis_lite --max-output 1000000 --max-clients 4 --max-request 2000
check "redis_lite: who listens too slowly is shut out" slow_subscriber
check "redis_lite: a request that is too long" \
    speaks "$(printf '*2\\r\\n$4\\r\\nECHO\\r\\n$1990\\r\\n%01990d\\r\\n' 0)" '-ERR Protocol error: too big request'
full() {
    local a b c d e
    for e in a b c d; do
        connect $e
        says $e PING
        hears $e +PONG
    done
    connect e
    hears e '-ERR max number of clients reached'
}
check "redis_lite: too many clients" full
stop TERM
