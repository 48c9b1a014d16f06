# chat, with connections of this shell.

# Clients are descriptors of this shell; what they hear is read line by line.

# enter NAME: connects, and says who it is; the variable of this name is the descriptor.
enter() {
    connect "$1"
    hears "$1" '* what is your name?' >"$logs/enter.txt" || fail "chat: $(cat "$logs/enter.txt")"
    says "$1" "$1"
}

says() { echo "$2" >&"${!1}"; }

# hears NAME LINE: the next line that this client hears, within 10 s. (A variable for the
# descriptor: inside a function `check` runs them in a subshell, which has the same ones.)
hears() {
    local line=
    IFS= read -r -t 10 line <&"${!1}" || { echo "$1 hears nothing (want: $2)"; return 1; }
    echo "$1 hears: $line"
    [ "$line" = "$2" ]
}

serve chat --outbox 16 --patience 2
enter ada
check "chat: welcome" hears ada '* welcome; here are: ada'
enter bob
check "chat: welcome, the second" hears bob '* welcome; here are: ada, bob'
check "chat: who joins is announced" hears ada '* bob has joined'
both_ways() {
    says ada 'hello, bob'
    hears bob 'ada: hello, bob'
    says bob "hello, ada$(printf '\033')[2J"
    hears ada 'bob: hello, ada[2J'
    # Nobody hears himself; empty lines are none.
    says ada ''
    says ada 'and?'
    hears bob 'ada: and?'
}
check "chat: they hear each other" both_ways
# A name that is taken, and ones that are none.
enter_badly() {
    local eve
    connect eve
    hears eve '* what is your name?'
    says eve ada
    hears eve '* that name is taken; have you another?'
    says eve ''
    hears eve '* a name has 1 to 20 letters and digits; what is yours?'
    says eve 'e v e'
    hears eve '* a name has 1 to 20 letters and digits; what is yours?'
    says eve eve
    hears eve '* welcome; here are: ada, bob, eve'
    hears ada '* eve has joined'
    hears bob '* eve has joined'
    says eve "$(head -c 5000 /dev/zero | tr '\0' x)"
    hears ada "eve: $(head -c 1024 /dev/zero | tr '\0' x)"
    hears bob "eve: $(head -c 1024 /dev/zero | tr '\0' x)"
    # The subshell's end closes it.
}
check "chat: names, and a long line" enter_badly
check "chat: who leaves is announced" hears ada '* eve has left'
check "chat: to all" hears bob '* eve has left'

# deaf sends what is answered each time, and reads no answer: it is shown out although it is no member that somebody
# would have to wait for. Then sending fails.
stuck() {
    local deaf start=$SECONDS status=0
    connect deaf
    timeout 60 yes 'e v e' >&"$deaf" || status=$?
    echo "took about $((SECONDS - start)) s, status $status"
    [ "$status" -ne 124 ]
}
check "chat: who reads nothing and has no name has to go" stuck

# slow never reads: it is shown out when its outbox and the system's buffers are full; the others get all
# of the 20,000 lines of 1,000 bytes, and go on.
enter slow
check "chat: the slow one joins" hears ada '* slow has joined'
check "chat: the slow one joins, for all" hears bob '* slow has joined'
flood() {
    local line
    line=$(head -c 1000 /dev/zero | tr '\0' y)
    (yes "$line" | head -n 20000 >&"$ada") &
    # One more than what ada says.
    timeout 60 head -n 20001 <&"$bob" | cut -c 1-50 | sort | uniq -c | sed 's/^ *//' | tee "$logs/flood.txt"
    wait
    [ "$(wc -l <"$logs/flood.txt")" -eq 2 ]
    grep -q '^20000 ada: yyy' "$logs/flood.txt"
    grep -qx '1 \* slow was too slow and had to go' "$logs/flood.txt"
}
check "chat: the slow one has to go, the others hear all" flood
check "chat: which the speaker hears, too" hears ada '* slow was too slow and had to go'
says bob 'still there?'
check "chat: life goes on" hears ada 'bob: still there?'
check "chat: port in use" refused "$target/release/examples/chat" --addr "$host:$port"
check "chat: no outbox" misused chat --outbox 0
stop TERM
check "chat: goodbye" last_words ada '* the server ends, goodbye'
check "chat: goodbye to all" last_words bob '* the server ends, goodbye'
exec {ada}>&- {bob}>&- {slow}>&-
serve chat
stop INT

echo "examples: all $step checks passed$note"
