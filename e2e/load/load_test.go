package load

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// serve runs a server on bare connections: answer gets the number of the request and writes what it likes; false ends the connection.
func serve(t *testing.T, answer func(n int64, c net.Conn, r *http.Request) bool) (address string, requests *atomic.Int64) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	requests = new(atomic.Int64)
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for reader := bufio.NewReader(c); ; {
					r, err := http.ReadRequest(reader)
					if err != nil || !answer(requests.Add(1), c, r) {
						return
					}
				}
			}()
		}
	}()
	return listener.Addr().String(), requests
}

func good(c net.Conn, r *http.Request) {
	body, _ := json.Marshal(map[string]string{"Host": r.Host, "Path": r.URL.Path})
	fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nX-Pod: p\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// until waits for a number of requests, however long a busy machine takes.
func until(requests *atomic.Int64, n int64) {
	for requests.Load() < n {
		time.Sleep(5 * time.Millisecond)
	}
}

func reset(c net.Conn) {
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

func TestAllGood(t *testing.T) {
	address, requests := serve(t, func(_ int64, c net.Conn, r *http.Request) bool { good(c, r); return true })
	l := Start(Config{Dial: dial, Address: address, Host: "a.example", Paths: []string{"/", "/x?y"}})
	until(requests, 200)
	r := l.Stop()
	if r.Failed != 0 || r.OK != r.Sent || int64(r.Sent) != requests.Load() || r.Pods["p"] != r.Sent || r.Again != 0 {
		t.Errorf("%s; the server saw %d", r, requests.Load())
	}
	if r.Percentile(0.5) <= 0 || r.Percentile(0.99) < r.Percentile(0.5) {
		t.Errorf("latencies: %s", r)
	}
}

// Every tenth request fails in its own way; each is counted, none is tried again.
func TestEveryFailureIsCounted(t *testing.T) {
	var want [5]atomic.Int64
	address, requests := serve(t, func(n int64, c net.Conn, r *http.Request) bool {
		if n%10 != 0 {
			good(c, r)
			return true
		}
		kind := n / 10 % 5
		want[kind].Add(1)
		switch kind {
		case 0:
			fmt.Fprint(c, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
			return true
		case 1:
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
			return false
		case 2:
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
			return true
		case 3:
			fmt.Fprint(c, "HTTP/1.1 200 O")
			return false
		default:
			fmt.Fprint(c, "nonsense\r\n\r\n")
			return false
		}
	})
	l := Start(Config{Dial: dial, Address: address, Host: "a.example"})
	until(requests, 300)
	r := l.Stop()
	total := int64(0)
	for i := range want {
		total += want[i].Load()
	}
	if int64(r.Failed) != total || r.OK+r.Failed != r.Sent || r.Again != 0 {
		t.Errorf("%s; the server failed %d", r, total)
	}
	if got := int64(r.Reasons["status 503"]); got != want[0].Load() {
		t.Errorf("%d × 503, want %d: %v", got, want[0].Load(), r.Reasons)
	}
	if got := int64(r.Reasons["cut off in the middle of a response"]); got != want[1].Load()+want[3].Load() {
		t.Errorf("%d cut off, want %d: %v", got, want[1].Load()+want[3].Load(), r.Reasons)
	}
}

// A kept connection that is reset under a request is tried again once and counted as such; on a fresh one it is a failure.
func TestResetOfAKeptConnection(t *testing.T) {
	address, requests := serve(t, func(n int64, c net.Conn, r *http.Request) bool {
		if n%20 == 0 {
			reset(c)
			return false
		}
		good(c, r)
		return true
	})
	l := Start(Config{Dial: dial, Address: address, Host: "a.example"})
	until(requests, 400)
	r := l.Stop()
	resets := int(requests.Load() / 20)
	if r.Again+r.Failed != resets || r.Again == 0 {
		t.Errorf("%s; %d resets", r, resets)
	}
	if int64(r.Sent+r.Again) != requests.Load() {
		t.Errorf("%d sent and %d again, the server saw %d", r.Sent, r.Again, requests.Load())
	}
}

// POST is never sent twice.
func TestPostIsNotTriedAgain(t *testing.T) {
	address, requests := serve(t, func(n int64, c net.Conn, r *http.Request) bool {
		if n%20 == 0 {
			reset(c)
			return false
		}
		buffer := make([]byte, 5)
		if _, err := r.Body.Read(buffer); err != nil && err.Error() != "EOF" {
			return false
		}
		good(c, r)
		return true
	})
	l := Start(Config{Dial: dial, Address: address, Host: "a.example", Post: true})
	until(requests, 200)
	if r := l.Stop(); r.Again != 0 || r.Failed != int(requests.Load()/20) || int64(r.Sent) != requests.Load() {
		t.Errorf("%s; the server saw %d", r, requests.Load())
	}
}

// A connection that the server closes in good order between requests costs nothing.
func TestClosedBetweenRequests(t *testing.T) {
	address, requests := serve(t, func(n int64, c net.Conn, r *http.Request) bool { good(c, r); return n%7 != 0 })
	l := Start(Config{Dial: dial, Address: address, Host: "a.example"})
	until(requests, 300)
	if r := l.Stop(); r.Failed != 0 {
		t.Error(r)
	}
}

func TestRefused(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	l := Start(Config{Dial: dial, Address: address, Host: "a.example"})
	for l.Snapshot().Failed < 50 {
		time.Sleep(5 * time.Millisecond)
	}
	if r := l.Stop(); r.OK != 0 || r.Reasons["connection refused"] != r.Failed {
		t.Error(r)
	}
}

// Requests that hang must not keep others from being sent.
func TestAHangingServerDoesNotStopTheSchedule(t *testing.T) {
	release := make(chan struct{})
	address, requests := serve(t, func(_ int64, c net.Conn, r *http.Request) bool {
		<-release
		good(c, r)
		return true
	})
	l := Start(Config{Dial: dial, Address: address, Host: "a.example", Timeout: time.Minute})
	until(requests, 100) // More than the kept connections.
	close(release)
	if r := l.Stop(); r.Failed != 0 || r.Sent < 100 {
		t.Error(r)
	}
}
