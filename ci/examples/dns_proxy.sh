# dns_proxy, with dig, against ci/examples/dns_upstream.py, which misbehaves at some names.

# background WHAT FILE COMMAND...: starts it, with its output in the file; the first line of that is the variable
# `said`, its pid `background_pid`. It is ended with the checks.
background() {
    local what=$1 file=$2
    shift 2
    "$@" >"$file" 2>&1 &
    background_pid=$!
    said=
    for _ in $(seq 200); do
        said=$(head -1 "$file")
        [ -n "$said" ] && break
        sleep 0.05
    done
    [ -n "$said" ] || { cat "$file" >&2; fail "$what did not start"; }
}

# asks WANT ARGUMENT...: what dig, with these arguments, gets as +short tells it.
asks() {
    local got
    got=$(dig @"$host" -p "$port" +short +tries=1 +time=10 "${@:2}")
    echo "want: $1"
    echo "got: $got"
    [ "$got" = "$1" ]
}

# says PATTERN ARGUMENT...: a line of all that dig says matches.
says() {
    dig @"$host" -p "$port" +tries=1 +time=10 "${@:2}" | tee "$logs/dig.txt"
    grep -qE -- "$1" "$logs/dig.txt"
}

# Its time to live counts down.
counts_down() {
    asks '"asked 1"' count.test TXT
    sleep 1.1
    says '^count.test\.[[:space:]]+5[0-9][[:space:]]' count.test TXT
    asks '"asked 1"' CoUnT.tEsT TXT
}

# The question comes back as it was written.
keeps_case() { says '^;CoUnT\.tEsT\.' CoUnT.tEsT TXT; }

expires() {
    asks '"asked 1"' brief.test TXT
    sleep 1.1
    asks '"asked 2"' brief.test TXT
}

not_kept() {
    asks '"asked 1"' fleeting.test TXT
    asks '"asked 2"' fleeting.test TXT
}

# The SOA record's serial number is how often it was asked for.
negative() {
    says 'status: NXDOMAIN' missing-1.test A
    grep -qE 'root\.test\. 1 ' "$logs/dig.txt"
    says 'status: NXDOMAIN' missing-1.test A
    grep -qE 'root\.test\. 1 ' "$logs/dig.txt"
    says 'status: NOERROR' nothing.test A
    grep -q 'ANSWER: 0' "$logs/dig.txt"
    says 'root\.test\. 1 ' nothing.test A
}

# 20 questions while the first one is on its way.
single_flight() {
    local pids=() n
    for n in $(seq 20); do
        dig @"$host" -p "$port" +short +tries=1 +time=10 slow.test TXT >"$logs/slow.$n" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
    cat "$logs"/slow.* | sort | uniq -c | tee "$logs/slow"
    grep -qE '^ *20 "asked 1"$' "$logs/slow"
    [ "$(wc -l <"$logs/slow")" -eq 1 ]
}

# Over UDP dig is told to ask again over TCP, and does.
big() {
    says 'flags:.* tc' +ignore big.test TXT
    says 'ANSWER: 1' big.test TXT
    [ "$(dig @"$host" -p "$port" +short big.test TXT | tr -d '" \n' | wc -c)" -eq 3000 ]
}

# What an answer takes is what the client has room for.
small_room() {
    says 'EDNS: version: 0, flags:; udp: 1232' +edns txt.test TXT
    says 'ANSWER: 1' +noedns txt.test TXT
    absent 'EDNS: version' "$logs/dig.txt"
}

# Two questions on one connection.
over_tcp() {
    says 'ANSWER: 1' +tcp +keepopen a.test A txt.test TXT
    [ "$(grep -c 'ANSWER: 1' "$logs/dig.txt")" -eq 2 ]
}

# datagram TEXT COUNT: sends the bytes (printf escapes), prints up to so many that come back within a second, in
# hexadecimal.
datagram() {
    local fd
    exec {fd}<>"/dev/udp/$host/$port"
    printf -- "$1" >&"$fd"
    { timeout 1 head -c "$2" <&"$fd" || true; } | od -An -tx1 | tr -d '\n'
    exec {fd}>&-
}

# Messages that are none; then it still answers.
hostile() {
    head -c 4000 /dev/urandom | nc -u -w 1 -q 0 "$host" "$port" >/dev/null
    [ -z "$(datagram '\001' 1)" ]
    # Only a header, which says that there are 65535 of everything: FORMERR.
    [ "$(datagram '\022\064\001\000\377\377\377\377\377\377\377\377' 12)" = ' 12 34 81 81 00 00 00 00 00 00 00 00' ]
    # An answer is none of our business.
    [ -z "$(datagram '\022\064\201\200\000\000\000\000\000\000\000\000' 1)" ]
    # Over TCP: a length without a message.
    printf '\377\377abc' | nc -N -w 2 "$host" "$port" >/dev/null
    asks 192.0.2.1 a.test A
}

background "the upstream" "$logs/upstream.log" python3 ci/examples/dns_upstream.py
upstream=127.0.0.1:$said upstream_pid=$background_pid
# Nobody listens there: each question is refused at once, and the other upstream has to answer.
deaf=127.0.0.1:1
trap '[ -z "$server_pid" ] || kill -KILL "$server_pid" 2>/dev/null || true; kill "$upstream_pid" 2>/dev/null || true' EXIT

serve dns_proxy --upstream "$upstream" --upstream "$deaf" --timeout 0.7
check "dns_proxy: A" asks 192.0.2.1 a.test A
check "dns_proxy: AAAA" asks 2001:db8::1 aaaa.test AAAA
check "dns_proxy: CNAME" asks $'a.test.\n192.0.2.1' alias.test A
check "dns_proxy: TXT, over TCP" asks '"hello, world"' +tcp txt.test TXT
check "dns_proxy: kept, and counting down" counts_down
check "dns_proxy: the question's case" keeps_case
check "dns_proxy: kept for a second" expires
check "dns_proxy: not kept" not_kept
check "dns_proxy: no such name, no such record: kept" negative
check "dns_proxy: many ask, one is asked" single_flight
check "dns_proxy: asked again if no answer comes" asks 192.0.2.2 lost.test A
check "dns_proxy: false answers are not taken" asks 192.0.2.2 false.test A
check "dns_proxy: nor is what is none" asks 192.0.2.2 garbage.test A
check "dns_proxy: truncated, whole over TCP" big
check "dns_proxy: room" small_room
check "dns_proxy: two questions on a connection" over_tcp
check "dns_proxy: upstream fails" says 'status: SERVFAIL' fail.test A
check "dns_proxy: upstream is silent" says 'status: SERVFAIL' silent.test A
check "dns_proxy: zone transfers, and other classes" says 'status: REFUSED' version.bind TXT CH
check "dns_proxy: an unknown operation" says 'status: NOTIMP' +opcode=4 a.test A
check "dns_proxy: hostile input" withstands dns
check "dns_proxy: what is no question" hostile
check "dns_proxy: port in use" \
    refused "$target/release/examples/dns_proxy" --addr "$host:$port" --upstream "$upstream"
check "dns_proxy: no upstream" misused dns_proxy --upstream nonsense
stop INT

# A cache of two: the one that would go soonest anyway goes.
evicts() {
    asks '"asked 2"' count.test TXT
    asks 192.0.2.1 a.test A
    asks '"hello, world"' txt.test TXT
    asks '"asked 3"' count.test TXT
}
serve dns_proxy --upstream "$upstream" --cache 2
check "dns_proxy: a small cache" evicts
stop TERM
kill "$upstream_pid"
wait "$upstream_pid" 2>/dev/null || true
trap '[ -z "$server_pid" ] || kill -KILL "$server_pid" 2>/dev/null || true' EXIT
