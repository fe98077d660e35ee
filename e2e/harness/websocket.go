package harness

// WebSockets that stay open over a scenario, each sending a message and wanting its echo all the while.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Sockets are open connections.
type Sockets struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	counts SocketCounts
}

// SocketCounts of all of them.
type SocketCounts struct {
	Opened   int
	Messages int
	Lost     int // Messages without their echo although the connection was not closed in good order.
	Closed   int // Connections that the other side ended.
	Refused  int // Connections that could not be opened again.
	Why      map[string]int
}

// Sockets opens n, and opens one anew when the other side has ended it, as every client of WebSockets must.
func (s *S) Sockets(n int, host string) *Sockets {
	ctx, cancel := context.WithCancel(s.Ctx)
	w := &Sockets{cancel: cancel, counts: SocketCounts{Why: map[string]int{}}}
	dialer := websocket.Dialer{NetDialContext: s.Outside.DialContext, HandshakeTimeout: 10 * time.Second}
	url := "ws://" + s.ringway.HTTP() + "/ws"
	for range n {
		w.wg.Add(1)
		go func() {
			defer w.wg.Done()
			for ctx.Err() == nil {
				connection, _, err := dialer.DialContext(ctx, url, map[string][]string{"Host": {host}})
				if err != nil {
					if ctx.Err() == nil {
						w.count(func(c *SocketCounts) { c.Refused++; c.Why["open: "+err.Error()]++ })
						time.Sleep(200 * time.Millisecond)
					}
					continue
				}
				w.count(func(c *SocketCounts) { c.Opened++ })
				w.talk(ctx, connection)
			}
		}()
	}
	s.Cleanup(func() { w.Stop() })
	return w
}

func (w *Sockets) count(change func(*SocketCounts)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.counts)
}

// talk echoes until the connection or the test ends.
func (w *Sockets) talk(ctx context.Context, connection *websocket.Conn) {
	defer connection.Close()
	connection.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, _, err := connection.ReadMessage(); err != nil { // The pod's name.
		w.count(func(c *SocketCounts) { c.Lost++; c.Why["first message: "+err.Error()]++ })
		return
	}
	for n := 0; ctx.Err() == nil; n++ {
		text := fmt.Sprintf("message %d", n)
		err := connection.WriteMessage(websocket.TextMessage, []byte(text))
		var back []byte
		if err == nil {
			connection.SetReadDeadline(time.Now().Add(10 * time.Second))
			_, back, err = connection.ReadMessage()
		}
		if err != nil {
			var timeout net.Error
			silent := errors.As(err, &timeout) && timeout.Timeout()
			w.count(func(c *SocketCounts) {
				c.Closed++
				if silent {
					c.Lost++
				}
				c.Why["in the middle: "+err.Error()]++
			})
			return
		}
		w.count(func(c *SocketCounts) {
			c.Messages++
			if string(back) != text {
				c.Lost++
				c.Why["another echo"]++
			}
		})
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Stop closes all and counts.
func (w *Sockets) Stop() SocketCounts {
	w.cancel()
	w.wg.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counts
}

// Counts so far.
func (w *Sockets) Counts() SocketCounts {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counts
}
