package cluster

// Sockets that live in another network namespace. Only the call that makes the socket has to stand there; from then on any thread may use it.

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// NetNS is a network namespace held open.
type NetNS struct{ file *os.File }

func openNetNS(path string) (*NetNS, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("network namespace: %w", err)
	}
	return &NetNS{file}, nil
}

// Do runs a function on a thread that stands in the namespace.
func (n *NetNS) Do(what func() error) error {
	runtime.LockOSThread()
	home, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("entering a network namespace: %w", err)
	}
	result := what()
	if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
		// The thread stays locked, so that the runtime ends it with the goroutine instead of using it again.
		return fmt.Errorf("leaving a network namespace: %w", err)
	}
	runtime.UnlockOSThread()
	return result
}

// DialContext is net.Dialer's, from inside the namespace. The address must be numeric: names belong to the machine.
func (n *NetNS) DialContext(ctx context.Context, network, address string) (connection net.Conn, err error) {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	err = n.Do(func() (err error) {
		connection, err = dialer.DialContext(ctx, network, address)
		return err
	})
	return connection, err
}

// Listen is net.Listen inside the namespace.
func (n *NetNS) Listen(network, address string) (listener net.Listener, err error) {
	err = n.Do(func() (err error) {
		listener, err = net.Listen(network, address)
		return err
	})
	return listener, err
}
