// seccomp writes the seccomp profile of the chart: the default of container runtimes for a container without capabilities, and the three calls
// of io_uring. One file for every node: the rules for both architectures that the image is made for.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

func main() {
	if err := write(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "seccomp:", err)
		os.Exit(1)
	}
}

func write(out *os.File) error {
	none := &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{}}}
	profile, err := seccomp.GetDefaultProfile(none)
	if err != nil {
		return err
	}
	profile.Architectures = []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32, specs.ArchAARCH64, specs.ArchARM}
	// The default has these on their own architecture only; a name that another does not have is passed over there.
	ofOne := []string{"arch_prctl", "modify_ldt", "arm_fadvise64_64", "arm_sync_file_range", "breakpoint", "cacheflush", "set_tls", "sync_file_range2"}
	profile.Syscalls = slices.DeleteFunc(profile.Syscalls, func(rule specs.LinuxSyscall) bool { return slices.Contains(ofOne, rule.Names[0]) })
	profile.Syscalls = append(profile.Syscalls, specs.LinuxSyscall{Names: ofOne, Action: specs.ActAllow},
		specs.LinuxSyscall{Names: []string{"io_uring_enter", "io_uring_register", "io_uring_setup"}, Action: specs.ActAllow})
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", " ")
	return encoder.Encode(profile)
}
