package cluster

// The node's first process runs all others: it starts daemons, tells how they ended, and reaps orphans. It is asked over a socket in the
// cluster's folder, one JSON request and one answer a connection.

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a program to run in the node.
type Process struct {
	Name string // Unique; its log is log/NAME.log.
	Args []string
	Env  []string // nil: that of the node.
	Dir  string
}

// Status of a process that was started once.
type Status struct {
	Name    string
	PID     int // In the node's PID namespace.
	Running bool
	Exit    int // Its exit code, or 128 + the signal that ended it.
}

type request struct {
	Op      string // start, signal, wait, list
	Process Process
	Name    string
	Signal  int
	Seconds float64
}

type answer struct {
	Error     string
	Processes []Status
}

type supervisor struct {
	layout layout
	mu     sync.Mutex
	ended  *sync.Cond // Signalled at each end of a process.
	procs  map[string]*Status
}

func newSupervisor(l layout) *supervisor {
	s := &supervisor{layout: l, procs: map[string]*Status{}}
	s.ended = sync.NewCond(&s.mu)
	return s
}

// serve answers until the node ends.
func (s *supervisor) serve(listener net.Listener) error {
	go s.reap()
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer connection.Close()
			var in request
			if json.NewDecoder(connection).Decode(&in) != nil {
				return
			}
			processes, err := s.do(in)
			out := answer{Processes: processes}
			if err != nil {
				out.Error = err.Error()
			}
			json.NewEncoder(connection).Encode(out)
		}()
	}
}

func (s *supervisor) do(in request) ([]Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch in.Op {
	case "start":
		return s.start(in.Process)
	case "list":
		var all []Status
		for _, p := range s.procs {
			all = append(all, *p)
		}
		return all, nil
	}
	p := s.procs[in.Name]
	if p == nil {
		return nil, fmt.Errorf("no process %q was started", in.Name)
	}
	switch in.Op {
	case "signal":
		if !p.Running {
			return nil, fmt.Errorf("%s has ended with %d", in.Name, p.Exit)
		}
		if err := syscall.Kill(p.PID, syscall.Signal(in.Signal)); err != nil {
			return nil, fmt.Errorf("signal %d to %s: %w", in.Signal, in.Name, err)
		}
		return []Status{*p}, nil
	case "wait":
		return s.wait(p, time.Duration(in.Seconds*float64(time.Second)))
	}
	return nil, fmt.Errorf("no operation %q", in.Op)
}

func (s *supervisor) start(p Process) ([]Status, error) {
	if known := s.procs[p.Name]; known != nil && known.Running {
		return nil, fmt.Errorf("%s runs already", p.Name)
	}
	log, err := os.OpenFile(s.layout.log(p.Name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	if p.Env == nil {
		p.Env = os.Environ()
	}
	// ForkExec, not os/exec: every end must come to reap() and nowhere else. A lock is held, so reap() finds the entry.
	pid, err := syscall.ForkExec(p.Args[0], p.Args, &syscall.ProcAttr{Dir: p.Dir, Env: p.Env,
		Files: []uintptr{null.Fd(), log.Fd(), log.Fd()}, Sys: &syscall.SysProcAttr{Setsid: true}})
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.Args[0], err)
	}
	s.procs[p.Name] = &Status{Name: p.Name, PID: pid, Running: true}
	return []Status{*s.procs[p.Name]}, nil
}

func (s *supervisor) wait(p *Status, limit time.Duration) ([]Status, error) {
	expired := false
	timer := time.AfterFunc(limit, func() {
		s.mu.Lock()
		expired = true
		s.mu.Unlock()
		s.ended.Broadcast()
	})
	defer timer.Stop()
	for p.Running && !expired {
		s.ended.Wait()
	}
	return []Status{*p}, nil
}

// reap takes the ends of daemons and of orphans that came to the node's first process.
func (s *supervisor) reap() {
	for {
		var end syscall.WaitStatus
		// Waits without taking, so that start() can finish its entry before the end is booked.
		var info unix.Siginfo
		if err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
			if errors.Is(err, unix.ECHILD) {
				time.Sleep(20 * time.Millisecond)
			}
			continue
		}
		s.mu.Lock()
		pid, err := syscall.Wait4(-1, &end, syscall.WNOHANG, nil)
		if err == nil && pid > 0 {
			for _, p := range s.procs {
				if p.Running && p.PID == pid {
					p.Running, p.Exit = false, exitCode(end)
				}
			}
		}
		s.mu.Unlock()
		s.ended.Broadcast()
	}
}

func exitCode(end syscall.WaitStatus) int {
	if end.Signaled() {
		return 128 + int(end.Signal())
	}
	return end.ExitStatus()
}

// ask sends one request to a node.
func (l layout) ask(in request, limit time.Duration) ([]Status, error) {
	connection, err := net.DialTimeout("unix", l.socket(), 5*time.Second)
	if err != nil {
		return nil, fmt.Errorf("the node does not answer: %w", err)
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(limit + 10*time.Second))
	if err := json.NewEncoder(connection).Encode(in); err != nil {
		return nil, err
	}
	var out answer
	if err := json.NewDecoder(connection).Decode(&out); err != nil {
		return nil, fmt.Errorf("the node's answer to %s: %w", in.Op, err)
	}
	if out.Error != "" {
		return nil, errors.New(out.Error)
	}
	return out.Processes, nil
}
