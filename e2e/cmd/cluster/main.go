// cluster starts and ends a real, single-node Kubernetes, and runs programs in it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"ringway.test/e2e/cluster"
)

const usage = `usage: cluster COMMAND [FLAGS] [ARGUMENTS]

  build [--mode api|full] [PROGRAM...]   build what is missing of the cluster's programs, once, into the cache
  up    [--name N] [--mode api|full] [--image TAR]...
                                         start a cluster that runs until "down"
  run   [--name N] [--mode M] [--image TAR]... [--logs DIR] -- COMMAND...
                                         start one, run a command on this machine with RINGWAY_CLUSTER=N, end the cluster whatever happens
  exec  [--name N] -- COMMAND...         run a command in the node: its network, mounts, processes; kubectl, helm, … are in PATH
  net   [--name N] -- COMMAND...         run a command in the node's network alone, with this machine's files
  load  [--name N] TAR...                import images
  image --name NAME:TAG --program FILE TAR
                                         write an image that holds one static program, as user 65532
  ps    [--name N]                       what runs
  kill  [--name N] DAEMON                end etcd, kube-apiserver, … without notice
  start [--name N] DAEMON                and run it again
  path  PROGRAM                          where a program lies
  down  [--name N]                       end it and remove everything of it

api: etcd and kube-apiserver. full: a node with pods. Cache: $RINGWAY_CLUSTER_CACHE or ~/.cache/ringway-cluster. Needs root.
`

type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

type settings struct {
	name, mode, modules, logs, program string
	images                             list
	rest                               []string
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == cluster.InitArgument {
		fmt.Fprintln(os.Stderr, cluster.RunInit(os.Args[2]))
		os.Exit(1)
	}
	if len(os.Args) > 1 && os.Args[1] == cluster.PauseArgument {
		cluster.RunPause()
		return
	}
	if len(os.Args) < 2 || os.Args[1] == "help" {
		fmt.Print(usage)
		return
	}
	code, err := command(os.Args[1], parse(os.Args[1], os.Args[2:]))
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
	}
	os.Exit(code)
}

func parse(command string, args []string) settings {
	var s settings
	flags := flag.NewFlagSet("cluster "+command, flag.ExitOnError)
	flags.StringVar(&s.name, "name", "default", "the cluster")
	flags.StringVar(&s.mode, "mode", "api", "api or full")
	flags.StringVar(&s.modules, "modules", "", "folder of the programs' modules; found upwards from here if empty")
	flags.StringVar(&s.logs, "logs", "", "folder that gets a copy of all logs")
	flags.StringVar(&s.program, "program", "", "what an image holds")
	flags.Var(&s.images, "image", "tar file of an image to load; again for more")
	flags.Parse(args)
	s.rest = flags.Args()
	return s
}

func command(name string, s settings) (int, error) {
	if name == "image" {
		return writeImage(s)
	}
	modules, err := findModules(s.modules)
	if err != nil {
		return 2, err
	}
	binaries, err := cluster.OpenBinaries("", modules)
	if err != nil {
		return 2, err
	}
	switch name {
	case "build":
		return build(binaries, s)
	case "up":
		if _, err := build(binaries, settings{mode: s.mode}); err != nil {
			return 1, err
		}
		c, err := cluster.Start(binaries, cluster.Options{Name: s.name, Mode: cluster.Mode(s.mode), Images: s.images, Out: os.Stdout})
		if err != nil {
			return 1, err
		}
		fmt.Printf("cluster: %s is up; its network exists only inside: cluster net --name %s -- kubectl get ns\nexport KUBECONFIG=%s\n", s.name, s.name, c.Kubeconfig())
		return 0, nil
	case "run":
		return run(binaries, s)
	case "path":
		for _, program := range s.rest {
			path, err := binaries.Path(program)
			if err != nil {
				return 2, err
			}
			fmt.Println(path)
		}
		return 0, nil
	case "exec", "net", "load", "ps", "down", "kill", "start":
		c, err := cluster.Open(binaries, s.name)
		if err != nil {
			return 1, err
		}
		return onCluster(c, name, s.rest)
	}
	return 2, fmt.Errorf("no command %q; see cluster help", name)
}

func writeImage(s settings) (int, error) {
	if len(s.rest) != 1 || s.program == "" || !strings.Contains(s.name, ":") {
		return 2, errors.New("image --name NAME:TAG --program FILE TAR")
	}
	inside := "/" + filepath.Base(s.program)
	image := cluster.Image{Name: s.name, Entrypoint: []string{inside}, User: "65532:65532", Files: map[string]string{inside: s.program}}
	if err := image.Write(s.rest[0]); err != nil {
		return 1, err
	}
	return 0, nil
}

func build(binaries *cluster.Binaries, s settings) (int, error) {
	programs := s.rest
	if len(programs) == 0 {
		programs = cluster.Mode(s.mode).Programs()
	}
	if err := binaries.Build(programs, os.Stdout); err != nil {
		return 1, err
	}
	return 0, nil
}

func onCluster(c *cluster.Cluster, name string, args []string) (int, error) {
	switch name {
	case "exec":
		return attach(c.Inside(context.Background(), args...))
	case "net":
		return attach(c.Command(context.Background(), args...))
	case "load":
		for _, tar := range args {
			if err := c.Load(tar); err != nil {
				return 1, err
			}
		}
		return 0, nil
	case "kill", "start":
		act := c.Kill
		if name == "start" {
			act = c.RunDaemon
		}
		for _, daemon := range args {
			if err := act(daemon); err != nil {
				return 1, err
			}
		}
		return 0, nil
	case "ps":
		all, err := c.Processes()
		if err != nil {
			return 1, err
		}
		for _, p := range all {
			state := "running"
			if !p.Running {
				state = fmt.Sprintf("ended with %d", p.Exit)
			}
			fmt.Printf("%-28s %8d  %s\n", p.Name, p.PID, state)
		}
		return 0, nil
	}
	if err := c.Stop(); err != nil {
		return 1, err
	}
	return 0, nil
}

// run: the cluster dies with this process, and this process ends the cluster before it ends itself.
func run(binaries *cluster.Binaries, s settings) (int, error) {
	if len(s.rest) == 0 {
		return 2, errors.New("run: which command?")
	}
	if _, err := build(binaries, settings{mode: s.mode}); err != nil {
		return 1, err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	runtime.LockOSThread() // DieWithParent means this thread.
	c, err := cluster.Start(binaries, cluster.Options{Name: s.name, Mode: cluster.Mode(s.mode), Images: s.images, DieWithParent: true, Out: os.Stdout})
	if err != nil {
		return 1, err
	}
	cmd := exec.Command(s.rest[0], s.rest[1:]...)
	cmd.Env = append(os.Environ(), "RINGWAY_CLUSTER="+s.name, "RINGWAY_CLUSTER_MODULES="+binaries.Modules())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	code, err := attachUntil(cmd, signals)
	if s.logs != "" {
		if copyError := copyLogs(c, s.logs); copyError != nil {
			fmt.Fprintln(os.Stderr, "cluster: logs:", copyError)
		}
	}
	if stopError := c.Stop(); err == nil && stopError != nil {
		return 1, stopError
	}
	return code, err
}

func attach(cmd *exec.Cmd) (int, error) { return attachUntil(cmd, nil) }

// attachUntil runs a command on this terminal; a signal ends its process group.
func attachUntil(cmd *exec.Cmd, signals <-chan os.Signal) (int, error) {
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if signals == nil {
		cmd.Stdin = os.Stdin // In a process group of its own it would be stopped on its first read.
	}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	var err error
	select {
	case err = <-done:
	case s := <-signals:
		syscall.Kill(-cmd.Process.Pid, s.(syscall.Signal))
		<-done
		return 130, fmt.Errorf("ended by %s", s)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}

func copyLogs(c *cluster.Cluster, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if err := os.CopyFS(to, os.DirFS(c.Logs())); err != nil {
		return err
	}
	if _, err := os.Stat(c.PodLogs()); err == nil {
		return os.CopyFS(filepath.Join(to, "pods"), os.DirFS(c.PodLogs()))
	}
	return nil
}

// findModules looks for e2e/cluster/build upwards.
func findModules(given string) (string, error) {
	if given != "" {
		return filepath.Abs(given)
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		for _, candidate := range []string{"e2e/cluster/build", "cluster/build"} {
			path := filepath.Join(dir, candidate)
			if _, err := os.Stat(filepath.Join(path, "kubernetes/go.mod")); err == nil {
				return path, nil
			}
		}
		if dir == "/" {
			return "", errors.New("no e2e/cluster/build here or above: --modules DIR")
		}
		dir = filepath.Dir(dir)
	}
}
