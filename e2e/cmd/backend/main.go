// backend is the application behind the proxy in all scenarios: it says what it was asked, as JSON, and echoes WebSocket messages.
//
//	/…                what was asked
//	?delay=500ms      after that time
//	?size=N           with N bytes more in the body
//	/ws               WebSocket echo; the first message it sends is the name of the pod
//	/ready            readiness: 200, or 503 once it ends
//
// On SIGTERM it waits for -linger (an application without preStop hook has 0), closes its listeners, lets requests in flight end, and ends.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

// Answer is the body of a response.
type Answer struct {
	Pod     string
	Method  string
	Host    string
	Path    string
	Query   string
	Proto   string
	Body    int64
	Headers http.Header
	Remote  string
	Pad     string `json:",omitempty"`
}

var (
	name   string
	ending atomic.Bool
)

func echo(w http.ResponseWriter, r *http.Request) {
	got, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	query := r.URL.Query()
	if delay, err := time.ParseDuration(query.Get("delay")); err == nil {
		time.Sleep(delay)
	}
	size, _ := strconv.Atoi(query.Get("size"))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Pod", name)
	json.NewEncoder(w).Encode(Answer{Pod: name, Method: r.Method, Host: r.Host, Path: r.URL.Path, Query: r.URL.RawQuery, Proto: r.Proto,
		Body: got, Headers: r.Header, Remote: r.RemoteAddr, Pad: strings.Repeat("x", min(max(size, 0), 64<<20))})
}

func ready(w http.ResponseWriter, _ *http.Request) {
	if ending.Load() {
		http.Error(w, "ending", http.StatusServiceUnavailable)
	}
}

func webSocket(w http.ResponseWriter, r *http.Request) {
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	connection, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer connection.Close()
	if connection.WriteMessage(websocket.TextMessage, []byte(name)) != nil {
		return
	}
	for {
		kind, message, err := connection.ReadMessage()
		if err != nil || connection.WriteMessage(kind, message) != nil {
			return
		}
	}
}

func main() {
	hostname, _ := os.Hostname()
	var listen string
	var linger time.Duration
	flag.StringVar(&name, "name", hostname, "what it calls itself")
	flag.StringVar(&listen, "listen", ":8080", "address")
	flag.DurationVar(&linger, "linger", 0, "time between SIGTERM and the end of the listener")
	flag.Parse()
	mux := http.NewServeMux()
	mux.HandleFunc("/", echo)
	mux.HandleFunc("/ready", ready)
	mux.HandleFunc("/ws", webSocket)
	server := &http.Server{Addr: listen, Handler: mux}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	ended := make(chan struct{})
	go func() {
		<-signals
		ending.Store(true)
		time.Sleep(linger)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		server.Shutdown(ctx)
		close(ended)
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
	<-ended
}
