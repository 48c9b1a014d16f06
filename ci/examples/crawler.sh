# crawler over a site made here, served by Python's http.server and by one that is slow.

site=$logs/site
mkdir -p "$site/deep/er"
echo '<a href="a.html">a</a> <a href="/deep/">deep</a> <a href="missing.html">gone</a>
<a href="http://127.0.0.1:1/elsewhere">another site</a> <a href="mailto:me">me</a> <a href="#top">top</a>' >"$site/index.html"
echo '<a href="index.html">back</a> <a href="./b.html?x=1&amp;y=2">b</a> <a href="/">again</a> <a href="?z">z</a>' >"$site/a.html"
echo '<a href="../a.html">a</a> <a href="er/c.html">c</a>' >"$site/deep/index.html"
echo '<a href="../../deep/er/../index.html">up</a>' >"$site/deep/er/c.html"
{ echo '<a href="a.html">a</a>'; head -c 3000000 /dev/zero | tr '\0' x; } >"$site/b.html"

python3 -u -m http.server --bind 127.0.0.1 --directory "$site" 0 >"$logs/site.log" 2>&1 &
site_pid=$!
for _ in $(seq 200); do
    site_port=$(sed -nE 's/^Serving HTTP on .* port ([0-9]+) .*/\1/p' "$logs/site.log")
    [ -n "$site_port" ] && break
    sleep 0.05
done
[ -n "$site_port" ] || fail "http.server did not start"

crawl() {
    example crawler "$@" | tee "$logs/crawl.txt"
}

# Every page once, in order, whatever leads there; a page of 3 MB is cut off at 1 MiB.
all_pages() {
    crawl "http://127.0.0.1:$site_port/"
    diff <(sed -E 's/^(...) +([0-9]+) /\1 \2 /; s/ in [0-9.]+ s$//; $s/[0-9]+ bytes/N bytes/' "$logs/crawl.txt" |
        sed -E '/^404/s/ [0-9]+ / N /') - <<END
200 $(stat -c %s "$site/index.html") /
200 $(stat -c %s "$site/a.html") /a.html
200 $(stat -c %s "$site/a.html") /a.html?z
200 1048576 /b.html?x=1&y=2
200 $(stat -c %s "$site/deep/index.html") /deep/
200 $(stat -c %s "$site/deep/er/c.html") /deep/er/c.html
200 $(stat -c %s "$site/deep/index.html") /deep/index.html
200 $(stat -c %s "$site/index.html") /index.html
404 N /missing.html
9 pages, 8 of them good, N bytes
END
}

count() {
    local want=$1
    shift
    crawl "$@" >/dev/null
    tail -1 "$logs/crawl.txt"
    grep -qE "^$want pages, " "$logs/crawl.txt"
}

check "crawler: every page once" all_pages
check "crawler: the first page and what it links to" count 4 --depth 1 "http://127.0.0.1:$site_port/"
check "crawler: so many pages" count 3 --pages 3 "http://127.0.0.1:$site_port/"
check "crawler: one at a time" count 9 --parallel 1 "http://127.0.0.1:$site_port/"
check "crawler: nobody listens" bash -c \
    "'$target/release/examples/crawler' http://127.0.0.1:1/ | grep -q 'refused'"
check "crawler: not http" misused crawler ftp://127.0.0.1/
kill "$site_pid"
wait "$site_pid" || true

# answered RESPONSE PATTERN: one page from somebody who answers with these bytes; what the crawler says about it.
answered() {
    local once=
    rm -f "$logs/once.log"
    printf -- "$1" | nc -l -v -N -w 10 127.0.0.1 0 2>"$logs/once.log" &
    for _ in $(seq 200); do
        once=$(sed -nE 's/^Listening on .* ([0-9]+)$/\1/p' "$logs/once.log" 2>/dev/null || true)
        [ -n "$once" ] && break
        sleep 0.05
    done
    crawl "http://127.0.0.1:$once/"
    wait
    grep -qE -- "$2" "$logs/crawl.txt"
}
check "crawler: a body without its length" answered 'HTTP/1.0 200 OK\r\n\r\nhello' '^200 +5 /$'
check "crawler: a body shorter than its length" answered 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello' '^---.*end of file'
check "crawler: a body longer than its length" answered 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhello' '^200 +3 /$'
check "crawler: no HTTP" answered 'SSH-2.0-none\r\n' '^---.*/: '

# Who accepts and says nothing: the chat, which waits for a name that never comes. A page has a second.
serve chat
patience() {
    local took
    took=$(seconds_of crawl --patience 1 "http://$host:$port/")
    echo "took about $took s"
    [ "$took" -le 4 ]
    grep -qE '^--- .*(HTTP|timed|time|deadline)' "$logs/crawl.txt"
}
check "crawler: a server that does not answer in HTTP" patience
stop INT

# Ctrl-C: what there is so far is printed, and why it isn't more.
serve chat
cut_short() {
    local crawler status=0 idle
    idle=$(ls "/proc/$server_pid/fd" | wc -l)
    "$target/release/examples/crawler" --patience 60 "http://$host:$port/" >"$logs/cut.txt" &
    crawler=$!
    # The chat has one descriptor more when it has accepted.
    for _ in $(seq 200); do
        [ "$(ls "/proc/$server_pid/fd" | wc -l)" -gt "$idle" ] && break
        sleep 0.05
    done
    kill -INT "$crawler"
    wait "$crawler" || status=$?
    cat "$logs/cut.txt"
    [ $status -eq 0 ]
    grep -q '^1 pages, 0 of them good, .*; cut short' "$logs/cut.txt"
}
check "crawler: Ctrl-C" cut_short
stop INT
