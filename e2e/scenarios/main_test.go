// Package scenarios holds what must be true of Ringway in a real cluster. `./dev e2e` runs it; `go test` alone skips all.
package scenarios

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"ringway.test/e2e/harness"
)

var env *harness.Env

var errFew = errors.New("not yet")

func TestMain(m *testing.M) {
	var err error
	if env, err = harness.Open(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	code := m.Run()
	if env != nil {
		env.Table.Finish()
	}
	os.Exit(code)
}
