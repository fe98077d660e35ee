// Package load is the client that judges a scenario: it sends requests at a steady rate all the while and counts every failure with its
// reason. It speaks HTTP/1.1 on bare connections, because a client library would hide failures: net/http sends a request again on another
// connection when the first one dies under it.
package load

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Config of a load.
type Config struct {
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
	Address string // HOST:PORT, numeric.
	TLS     *tls.Config
	Host    string
	Paths   []string // In turn; default "/".
	Rate    int      // Requests a second, default 250.
	// Of these, on a connection of their own that is closed afterwards: what is refused shows on new connections only. Default 25.
	FreshRate int
	Keep      int           // Connections that are kept, default 8. A request that is late to come back costs none of the others their turn.
	Timeout   time.Duration // Of a request, default 10 s.
	Post      bool          // POST with a small body instead of GET.
	// Check judges a response beside its status, which must be 200; nil: the body must be a backend's answer for this host and path.
	Check func(*http.Response, []byte) error
}

// Load runs until Stop.
type Load struct {
	config Config
	cancel context.CancelFunc
	wg     sync.WaitGroup
	queue  chan int

	workers int // Kept connections; pace's own.

	mu     sync.Mutex
	result Result
	begin  time.Time
}

// Failure is one request that did not get its answer.
type Failure struct {
	After  time.Duration // Since the begin of the load.
	Reason string
}

// Result counts.
type Result struct {
	Sent, OK, Failed int
	Reasons          map[string]int
	Failures         []Failure // The first hundred, in order.
	// Requests that met a kept connection already closed by the server: not one byte came back, and they were sent again on a new one, as RFC
	// 9110 section 9.2.2 lets every client do with idempotent requests. Not failures, but counted.
	Again     int
	Closed    int            // Kept connections that the server closed between requests.
	Pods      map[string]int // Answers per backend.
	Latencies []time.Duration
	Longest   time.Duration
	Duration  time.Duration
}

// Start begins at once.
func Start(c Config) *Load {
	if c.Rate == 0 {
		c.Rate = 250
	}
	if c.FreshRate == 0 {
		c.FreshRate = 25
	}
	if c.Keep == 0 {
		c.Keep = 8
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if len(c.Paths) == 0 {
		c.Paths = []string{"/"}
	}
	if c.Check == nil {
		c.Check = IsEcho
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &Load{config: c, cancel: cancel, begin: time.Now(), queue: make(chan int, 100000),
		result: Result{Reasons: map[string]int{}, Pods: map[string]int{}}}
	for range c.Keep {
		l.hire(ctx)
	}
	l.wg.Add(1)
	go l.pace(ctx)
	return l
}

// keepMax bounds kept connections. Requests that wait for one another would hide an outage, so there are more of them when the schedule
// falls behind; without a bound a machine that is too slow would be kept busy with handshakes.
const keepMax = 64

// hire adds a kept connection for good. Only before and by pace.
func (l *Load) hire(ctx context.Context) {
	l.workers++
	l.wg.Add(1)
	go l.worker(ctx)
}

// pace hands out requests on a fixed schedule, whatever becomes of them.
func (l *Load) pace(ctx context.Context) {
	defer l.wg.Done()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	sent, fresh := 0, 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		seconds := time.Since(l.begin).Seconds()
		for ; fresh < int(seconds*float64(l.config.FreshRate)); fresh++ {
			l.wg.Add(1)
			go func(n int) {
				defer l.wg.Done()
				l.once(n, nil).close()
			}(fresh)
		}
		for ; sent < int(seconds*float64(l.config.Rate-l.config.FreshRate)); sent++ {
			select {
			case l.queue <- sent:
			default:
				l.failed("the client could not keep up")
			}
		}
		if len(l.queue) > l.workers && l.workers < keepMax {
			l.hire(ctx)
		}
	}
}

// worker sends on a connection that it keeps. What is still in the queue at the end was never sent.
func (l *Load) worker(ctx context.Context) {
	defer l.wg.Done()
	var c *connection
	defer func() { c.close() }()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case n := <-l.queue:
			c = l.once(n, c)
		}
	}
}

type connection struct {
	net.Conn          // What is spoken on: TLS or socket itself.
	socket   net.Conn // TCP.
	reader   *bufio.Reader
}

func (c *connection) close() {
	if c != nil {
		c.Conn.Close()
	}
}

// once makes one request, on the connection given or a new one, and returns the connection if it can be used again. A fresh request (kept ==
// nil and from pace) closes its own because its caller drops it.
func (l *Load) once(n int, kept *connection) *connection {
	begin := time.Now()
	if kept != nil && kept.gone() {
		kept.close()
		kept = nil
		l.mu.Lock()
		l.result.Closed++
		l.mu.Unlock()
	}
	used := kept != nil
	c, err := l.exchange(n, kept)
	var dead *deadConnection
	if errors.As(err, &dead) && used && !l.config.Post {
		l.mu.Lock()
		l.result.Again++
		l.mu.Unlock()
		c, err = l.exchange(n, nil)
	}
	l.mu.Lock()
	l.result.Sent++
	took := time.Since(begin)
	l.result.Longest = max(l.result.Longest, took)
	if err == nil {
		l.result.OK++
		l.result.Latencies = append(l.result.Latencies, took)
	}
	l.mu.Unlock()
	if err != nil {
		l.failedAfter(begin.Sub(l.begin), reason(err))
	}
	return c
}

// deadConnection: it ended before a byte of the response.
type deadConnection struct{ cause error }

func (d *deadConnection) Error() string {
	return "connection ended before an answer: " + reason(d.cause)
}

func (l *Load) exchange(n int, c *connection) (*connection, error) {
	ctx, cancel := context.WithTimeout(context.Background(), l.config.Timeout)
	defer cancel()
	if c == nil {
		var err error
		if c, err = l.connect(ctx); err != nil {
			return nil, err
		}
	}
	keep := false
	defer func() {
		if !keep {
			c.close()
		}
	}()
	c.SetDeadline(time.Now().Add(l.config.Timeout))
	path := l.config.Paths[n%len(l.config.Paths)]
	head := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: e2e\r\n\r\n", path, l.config.Host)
	if l.config.Post {
		head = fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: e2e\r\nContent-Length: 5\r\n\r\nhello", path, l.config.Host)
	}
	if _, err := c.Write([]byte(head)); err != nil {
		return nil, &deadConnection{err}
	}
	if _, err := c.reader.Peek(1); err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return nil, fmt.Errorf("no answer within %s", l.config.Timeout)
		}
		return nil, &deadConnection{err}
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return nil, fmt.Errorf("response head: %w", err)
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("response body: %w", err)
	}
	keep = !response.Close
	next := c
	if !keep {
		next = nil
	}
	if response.StatusCode != http.StatusOK {
		return next, fmt.Errorf("status %d", response.StatusCode)
	}
	response.Request = &http.Request{Host: l.config.Host, RequestURI: path}
	if pod := response.Header.Get("X-Pod"); pod != "" {
		l.mu.Lock()
		l.result.Pods[pod]++
		l.mu.Unlock()
	}
	return next, l.config.Check(response, body)
}

func (l *Load) connect(ctx context.Context) (*connection, error) {
	socket, err := l.config.Dial(ctx, "tcp", l.config.Address)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if l.config.TLS == nil {
		return &connection{socket, socket, bufio.NewReader(socket)}, nil
	}
	secure := tls.Client(socket, l.config.TLS)
	if err := secure.HandshakeContext(ctx); err != nil {
		socket.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return &connection{secure, socket, bufio.NewReader(secure)}, nil
}

// gone: the server closed it while nothing was asked. Every client looks before it sends.
func (c *connection) gone() bool {
	if c.reader.Buffered() > 0 {
		return true // Bytes that nobody asked for.
	}
	raw, err := c.socket.(syscall.Conn).SyscallConn()
	if err != nil {
		return true
	}
	var waiting int
	var peekError error
	var one [1]byte
	raw.Control(func(fd uintptr) {
		waiting, _, peekError = syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	})
	if errors.Is(peekError, syscall.EAGAIN) {
		return false
	}
	if peekError != nil || waiting == 0 || c.socket == c.Conn {
		return true
	}
	// TLS: a session ticket, or the end.
	c.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
	_, err = c.reader.Peek(1)
	c.SetReadDeadline(time.Time{})
	var timeout net.Error
	return !(errors.As(err, &timeout) && timeout.Timeout())
}

// IsEcho holds a backend's answer against what was asked.
func IsEcho(response *http.Response, body []byte) error {
	var answer struct{ Host, Path string }
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("body is not a backend's: %q", body[:min(len(body), 80)])
	}
	path, _, _ := strings.Cut(response.Request.RequestURI, "?")
	if answer.Host != response.Request.Host || answer.Path != path {
		return fmt.Errorf("answer for %s%s to a request for %s%s", answer.Host, answer.Path, response.Request.Host, path)
	}
	return nil
}

func (l *Load) failed(why string) { l.failedAfter(time.Since(l.begin), why) }

func (l *Load) failedAfter(after time.Duration, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.result.Failed++
	l.result.Reasons[why]++
	if len(l.result.Failures) < 100 {
		l.result.Failures = append(l.result.Failures, Failure{after, why})
	}
}

// reason is the error without what differs from one to the next.
func reason(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET):
		return "connection reset"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "cut off in the middle of a response"
	case errors.Is(err, io.EOF):
		return "connection closed"
	case errors.Is(err, syscall.EPIPE):
		return "connection closed"
	case errors.Is(err, context.DeadlineExceeded):
		return "connect: no answer in time"
	}
	return err.Error()
}

// Stop ends the load, waits for what is in flight, and counts.
func (l *Load) Stop() Result {
	l.cancel()
	l.wg.Wait()
	r := l.Snapshot()
	slices.Sort(r.Latencies)
	return r
}

// Elapsed since its begin.
func (l *Load) Elapsed() time.Duration { return time.Since(l.begin) }

// Snapshot is what there is so far.
func (l *Load) Snapshot() Result {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.result
	r.Reasons, r.Pods = cloned(r.Reasons), cloned(r.Pods)
	r.Failures, r.Latencies = slices.Clone(r.Failures), slices.Clone(r.Latencies)
	r.Duration = time.Since(l.begin)
	return r
}

func cloned(m map[string]int) map[string]int {
	out := make(map[string]int, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// Percentile of the latencies of good answers; p from 0 to 1. Only of a Result from Stop.
func (r Result) Percentile(p float64) time.Duration {
	if len(r.Latencies) == 0 {
		return 0
	}
	return r.Latencies[min(len(r.Latencies)-1, int(p*float64(len(r.Latencies))))]
}

// String is one line.
func (r Result) String() string {
	text := fmt.Sprintf("%d sent, %d failed, %d again, p50 %.1f ms, p99 %.1f ms, longest %.0f ms", r.Sent, r.Failed, r.Again,
		ms(r.Percentile(0.5)), ms(r.Percentile(0.99)), ms(r.Longest))
	for why, count := range r.Reasons {
		text += fmt.Sprintf("; %d × %s", count, why)
	}
	return text
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Plus is both together.
func (r Result) Plus(other Result) Result {
	r.Sent, r.OK, r.Failed, r.Again, r.Closed = r.Sent+other.Sent, r.OK+other.OK, r.Failed+other.Failed, r.Again+other.Again, r.Closed+other.Closed
	r.Reasons, r.Pods = cloned(r.Reasons), cloned(r.Pods)
	for why, count := range other.Reasons {
		r.Reasons[why] += count
	}
	for pod, count := range other.Pods {
		r.Pods[pod] += count
	}
	r.Failures = append(slices.Clone(r.Failures), other.Failures...)
	r.Latencies = append(slices.Clone(r.Latencies), other.Latencies...)
	slices.Sort(r.Latencies)
	r.Longest = max(r.Longest, other.Longest)
	r.Duration = max(r.Duration, other.Duration)
	return r
}
