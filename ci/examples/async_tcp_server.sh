# async_tcp_server, with nc and with connections of this shell.

no_number='is not a number. Send a whole number, such as 41'
too_long='a number, but too long for me: 38 digits will do'
nothing='nothing? Send a whole number, such as 41'

unanswered() { [ -z "$(ask "$1")" ]; }

# $SECONDS is cut to whole seconds at both ends, so a second more or less is nothing.
two_seconds() {
    local took
    took=$(seconds_of dialogue '1\n' 2)
    echo "took about $took s"
    [ "$took" -ge 1 ]
}

# 50 clients with 2 s of work each: at once, not one after the other.
many_at_once() {
    local pids=() start=$SECONDS
    for n in $(seq 50); do
        dialogue "$n\n" $((n + 1)) &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
    echo "took about $((SECONDS - start)) s"
    [ $((SECONDS - start)) -lt 50 ]
}

# A line of 1 MB is read past; the next one is answered.
long_line() {
    { head -c 1000000 /dev/zero | tr '\0' 1; printf '\n7\n'; } | nc -N -w 5 "$host" "$port" |
        diff <(printf '%s\n' "$too_long" 8) -
}

# The client keeps its side open; it is the server who ends it.
silent() {
    local client
    connect client
    printf -- "$1" >&"$client"
    rest client | diff <(printf '%s\n' "${@:2}") -
}

serve async_tcp_server
check "async_tcp_server: 2 s of work for a line" two_seconds
check "async_tcp_server: 50 clients at once" many_at_once
stop INT

serve async_tcp_server --work 0.01
check "async_tcp_server: a number" dialogue '41\n' 42
check "async_tcp_server: several lines, and one without an end" dialogue '1\n 2 \r\n3' 2 3 4
check "async_tcp_server: negative numbers" dialogue '-5\n-1\n-0\n+7\n' -4 0 1 8
check "async_tcp_server: beyond 64 bits" \
    dialogue '9223372036854775807\n18446744073709551615\n-9223372036854775809\n' \
    9223372036854775808 18446744073709551616 -9223372036854775808
check "async_tcp_server: the last number" \
    dialogue '170141183460469231731687303715884105727\n-170141183460469231731687303715884105728\n' \
    'this is the last number I know' -170141183460469231731687303715884105727
check "async_tcp_server: too long a number" \
    dialogue '999999999999999999999999999999999999999999\n-999999999999999999999999999999999999999999\n1\n' \
    "$too_long" "$too_long" 2
check "async_tcp_server: no number" \
    dialogue 'abc\n\n1.5\n0x10\n1 2\n\001\n4\n' "\"abc\" $no_number" "$nothing" "\"1.5\" $no_number" \
    "\"0x10\" $no_number" "\"1 2\" $no_number" "\"\\u{1}\" $no_number" 5
check "async_tcp_server: no UTF-8" dialogue '\377\n' "\"$(printf '\357\277\275')\" $no_number"
check "async_tcp_server: a line of 1 MB" long_line
check "async_tcp_server: nothing at all" unanswered ''
check "async_tcp_server: port in use" \
    refused "$target/release/examples/async_tcp_server" --addr "$host:$port"
check "async_tcp_server: no work" misused async_tcp_server --work 0
stop TERM

serve async_tcp_server --work 0.01 --deadline 1
check "async_tcp_server: silent for too long" silent '' 'no line for 1s, goodbye'
check "async_tcp_server: silent after a line" silent '5\n' 6 'no line for 1s, goodbye'
check "async_tcp_server: silent in the middle of a line" silent '5\n1' 6 'no line for 1s, goodbye'
stop TERM

# SIGTERM while a line is being worked on: it is answered. Two that came together: the second one has begun
# when the first is answered. A client that is idle is just at the end.
serve async_tcp_server --work 0.5
connect idle
connect busy
printf '41\n' >&"$idle"
printf '1\n2\n' >&"$busy"
head -1 <&"$idle" >"$logs/idle.txt"
IFS= read -r -t 10 line <&"$busy" || fail "async_tcp_server: no answer"
[ "$line" = 2 ] || fail "async_tcp_server: 2 comes after 1, not $line"
stop TERM
check "async_tcp_server: the line under way was answered" last_words busy 3
check "async_tcp_server: the idle client's end" last_words idle ''
exec {busy}>&- {idle}>&-
