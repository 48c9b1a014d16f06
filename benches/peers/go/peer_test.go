package main

// The peer as the harness uses it: a process, its arguments, its lines and its exit status. The test
// binary is the peer itself when it is started with asPeer in its environment.

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const asPeer = "PEER_GO_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(asPeer) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func peer(arguments string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], strings.Fields(arguments)...)
	cmd.Env = append(os.Environ(), asPeer+"=1")
	return cmd
}

func TestMeasuredWorkloads(t *testing.T) {
	for arguments, want := range map[string]string{
		"yield --n 1001":                                      "2 tasks: ns_per_op cpu_ns_per_op",
		"yield --n 1001 --tasks 4 --procs 2":                  "4 tasks: ns_per_op cpu_ns_per_op",
		"spawn --n 1001":                                      "one by one: ns_per_op cpu_ns_per_op",
		"spawn --n 1001 --mode burst --procs 2":               "burst: ns_per_op cpu_ns_per_op",
		"pingpong --n 1001":                                   "rendezvous: ns_per_op cpu_ns_per_op",
		"pingpong --n 1001 --kind cap1 --procs 2":             "cap1: ns_per_op cpu_ns_per_op",
		"chan_mpmc --n 1001 --procs 2":                        "4:4 cap 128: ns_per_op cpu_ns_per_op",
		"chan_mpmc --n 2 --producers 3 --consumers 1 --cap 0": "3:1 cap 0: ns_per_op cpu_ns_per_op",
		"select --n 1001 --procs 2":                           "2 arms: ns_per_op cpu_ns_per_op",
		"select --n 1001 --arms 4":                            "4 arms: ns_per_op cpu_ns_per_op",
		"select --n 1001 --arms 8":                            "8 arms: ns_per_op cpu_ns_per_op",
		"mutex --n 1001 --procs 2":                            "8 tasks: ns_per_op cpu_ns_per_op",
		"mutex --n 1001 --tasks 1":                            "uncontended: ns_per_op cpu_ns_per_op",
		"rwlock --n 1001 --procs 2":                           "8 tasks 90% reads: ns_per_op cpu_ns_per_op",
		"rwlock --n 1001 --tasks 1 --reads 33":                "uncontended 33% reads: ns_per_op cpu_ns_per_op",
		"skynet --n 1000 --procs 2":                           "1000 leaves: wall_ms cpu_ms",
		"timers --n 1001 --min-ms 1 --max-ms 3":               "1001 timers: wall_ms cpu_ms late_max_ms",
		"idle_mem --n 1001":                                   "1001 tasks: rss_bytes_per_task page_table_bytes_per_task",
	} {
		t.Run(arguments, func(t *testing.T) {
			t.Parallel()
			cmd := peer(strings.Replace(arguments, " --n", " --rounds 3 --n", 1))
			cmd.Stderr = t.Output()
			line, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			var r report
			if err := json.Unmarshal(line, &r); err != nil || bytes.Count(line, []byte("\n")) != 1 {
				t.Fatalf("%v in %q", err, line)
			}
			var got []string
			for _, result := range r.Results {
				got = append(got, result.Metric)
				if len(result.Values) != 3 {
					t.Errorf("%d values of %s", len(result.Values), result.Metric)
				}
			}
			if got := r.Results[0].Variant + ": " + strings.Join(got, " "); got != want {
				t.Errorf("%s instead of %s", got, want)
			}
			if name, _, _ := strings.Cut(arguments, " "); !r.Verified || r.Workload != name || r.Peer != "go" {
				t.Errorf("%s", line)
			}
		})
	}
}

func TestExitStatus(t *testing.T) {
	for arguments, want := range map[string]int{
		"":                              exitUsage,
		"--help":                        exitUsage,
		"unheard-of --procs 1":          exitUnknown,
		"select --arms 3":               exitUnknown,
		"mutex --procs 0":               exitUsage,
		"mutex --unheard-of 1":          exitUnknown,
		"mutex --unheard-of=1":          exitUnknown,
		"mutex --tasks many":            exitUsage,
		"mutex 1":                       exitUsage,
		"skynet --n 200":                exitUsage,
		"spawn --mode two":              exitUsage,
		"serve-echo --addr nonsense":    exitFailed,
		"serve-http --unix /no/such/go": exitFailed,
	} {
		line, err := peer(arguments).Output()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != want {
			t.Errorf("%q: %v instead of %d", arguments, err, want)
		} else if len(line) > 0 || len(exit.Stderr) == 0 {
			t.Errorf("%q: stdout %q, stderr %q", arguments, line, exit.Stderr)
		}
	}
}

// A server is a peer that serves, and the lines it prints.
type server struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *json.Decoder
	listening
}

func serve(t *testing.T, arguments string) *server {
	s := &server{t: t, cmd: peer(arguments)}
	s.cmd.Stderr = t.Output()
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cmd.Process.Kill() })
	s.lines = json.NewDecoder(out)
	if err := s.lines.Decode(&s.listening); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *server) connect(network, addr string) net.Conn {
	conn, err := net.Dial(network, addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	return conn
}

func (s *server) statistics() (now statistics) {
	s.cmd.Process.Signal(syscall.SIGUSR1)
	if err := s.lines.Decode(&now); err != nil {
		s.t.Fatal(err)
	}
	return now
}

func (s *server) terminate() {
	s.cmd.Process.Signal(syscall.SIGTERM)
	if err := s.cmd.Wait(); err != nil {
		s.t.Error(err)
	}
}

// exchange sends more than any buffer takes and reads it back.
func exchange(t *testing.T, conn net.Conn) {
	sent := bytes.Repeat([]byte("message "), 100_000)
	go conn.Write(sent)
	received := make([]byte, len(sent))
	if _, err := io.ReadFull(conn, received); err != nil || !bytes.Equal(sent, received) {
		t.Errorf("echo is not what was sent (%v)", err)
	}
}

func TestEchoOverTCPAndUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "echo")
	s := serve(t, "serve-echo --procs 2 --size-hint 65536 --unix "+path)
	if s.Pid != s.cmd.Process.Pid || s.Unix != path {
		t.Errorf("%+v", s.listening)
	}
	exchange(t, s.connect("tcp", s.Listening))
	exchange(t, s.connect("unix", path))
	if now := s.statistics(); now.CPUUser+now.CPUSystem <= 0 || now.RSS <= 0 || now.PageTables <= 0 || len(now.HogProgress) != 0 {
		t.Errorf("%+v", now)
	}
	s.terminate()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the Unix socket is still there (%v)", err)
	}
}

func TestEchoBesideHogs(t *testing.T) {
	s := serve(t, "serve-echo --procs 1 --hogs 2 --blockers 1 --hog-seconds 60")
	conn := s.connect("tcp", s.Listening)
	before := s.statistics().HogProgress
	if len(before) != 2 {
		t.Fatalf("%d hogs", len(before))
	}
	for {
		exchange(t, conn)
		now := s.statistics().HogProgress
		if now[0] > before[0] && now[1] > before[1] {
			break
		}
	}
	s.terminate()
}

func TestPipelinedHTTP(t *testing.T) {
	s := serve(t, "serve-http")
	conn := s.connect("tcp", s.Listening)
	const requests = 16
	io.WriteString(conn, strings.Repeat("GET /plaintext HTTP/1.1\r\nHost: peer\r\n\r\n", requests))
	answers := bufio.NewReader(conn)
	for range requests {
		answer, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != http.StatusOK || string(body) != "Hello, World!" {
			t.Errorf("%s %q (%v)", answer.Status, body, err)
		}
		for name, want := range map[string]string{"Server": "Go", "Content-Type": "text/plain", "Content-Length": "13"} {
			if got := answer.Header.Get(name); got != want {
				t.Errorf("%s is %q", name, got)
			}
		}
		if answer.Header.Get("Date") == "" {
			t.Error("no Date")
		}
	}
	s.terminate()
}
