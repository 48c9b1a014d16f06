# Those without sockets: what they print, with what it must be and with what their Go originals print.

# prints WANT NAME [ARGUMENT...]: what the example must print.
prints() {
    local got
    got=$(example "${@:2}")
    diff <(echo "$1") <(echo "$got")
}

# The reader goes away after the first line, with more to come than a pipe holds: no reason to panic.
cut_short() {
    "$@" 2>"$logs/cut.log" | head -1
    cat "$logs/cut.log"
    [ ! -s "$logs/cut.log" ]
}

# The time varies from run to run.
rounds() {
    example pingpong --strokes 1001 | tee "$logs/pingpong.txt"
    [ "$(head -1 "$logs/pingpong.txt")" = 'ping struck 501 times, pong 500 times' ]
    [ "$(sed 1d "$logs/pingpong.txt" | grep -cE '^[0-9]+ ns a round$')" -eq 1 ]
}

# Nobody loses a message without it being counted, the slow one keeps as many as its buffer holds.
broadcast() {
    example pubsub --messages 1000 --buffer 16 | tee "$logs/pubsub.txt"
    [ "$(sed -nE 's/^(.*): received ([0-9]+), missed ([0-9]+)$/\2 + \3/p' "$logs/pubsub.txt" |
        while read -r sum; do echo $((sum)); done | xargs)" = '1000 1000' ]
    grep -qx 'quick: received 1000, missed 0' "$logs/pubsub.txt"
    grep -qx 'slow: received 16, missed 984' "$logs/pubsub.txt"
}

# Each ate 300 times, and each fork is used by two.
meals() {
    example dining --meals 300 | tee "$logs/dining.txt"
    [ "$(grep -c ' ate 300 times$' "$logs/dining.txt")" -eq 5 ]
    [ "$(grep -cE '^fork [0-4] was used 600 times$' "$logs/dining.txt")" -eq 5 ]
    [ "$(wc -l <"$logs/dining.txt")" -eq 10 ]
}

primes=$(printf '%s\n' 2 3 5 7 11 13 17 19 23 29 31 37 41 43 47 53 59 61 67 71 73 79 83 89 97)
lengths=$(
    job=0
    for steps in 0 1 7 2 5 8 16 3 19 6; do job=$((job + 1)) && echo "job $job: $steps steps"; done
)

check "prime_sieve: the primes below 100" prints "$primes" prime_sieve --count 25
check "prime_sieve: none" prints "" prime_sieve --count 0
check "pingpong: 1,001 strokes" rounds
check "worker_pool: Collatz lengths, 3 workers" prints "$lengths" worker_pool --workers 3 --jobs 10
check "worker_pool: Collatz lengths, more workers than jobs" \
    prints "$lengths" worker_pool --workers 50 --jobs 10
check "worker_pool: cut short by head" cut_short example worker_pool --jobs 20000
check "pubsub: received or missed" broadcast
check "dining: all have eaten" meals
check "prime_sieve: a count that is none" misused prime_sieve --count many
check "pingpong: an unknown option" misused pingpong --nonsense
check "worker_pool: nobody works" misused worker_pool --workers 0
check "pubsub: no buffer" misused pubsub --buffer 0
check "dining: an argument too many" misused dining 5

# Their Go originals, if there is go 1.25 or newer.

# same NAME OPTION VALUE...: ours and the Go original print the same, the time of a round aside.
same() {
    local name=$1 time='s/^[0-9]+ ns a round$/N ns a round/'
    example "$@" | sed -E "$time" >"$logs/$name.rust.txt"
    go run "examples/go/$name.go" "${@:2}" | sed -E "$time" >"$logs/$name.go.txt"
    diff "$logs/$name.rust.txt" "$logs/$name.go.txt"
}

# `go version` says "go version go1.25.1 linux/amd64". `local`: nothing is downloaded.
export GOTOOLCHAIN=local
if go version 2>/dev/null | grep -qE ' go1\.(2[5-9]|[3-9][0-9])'; then
    check "prime_sieve: as in Go" same prime_sieve --count 300
    check "pingpong: as in Go" same pingpong --strokes 12345
    check "worker_pool: as in Go" same worker_pool --workers 4 --jobs 500
    check "pubsub: as in Go" same pubsub --messages 777 --buffer 5
    check "dining: as in Go" same dining --meals 500
else
    note+=', comparison with the Go originals skipped (no go 1.25)'
    echo "skipped: the Go originals (no go 1.25 or newer)"
fi
