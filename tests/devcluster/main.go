// Command devcluster is a Kubernetes cluster in one program, for development and tests: it contains
// the real control plane, and runs it on loopback without containers or root.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/plumbline/plumbline/tests/devcluster/cluster"
)

const usage = `usage: devcluster COMMAND --dir DIR

  up       start a cluster in DIR and leave it running
  run      start a cluster, print the kubeconfig's path, and remove it when standard input closes
  down     stop the cluster in DIR and remove DIR
  status   say what runs; exit code 1 when something does not

up, run and down say on standard error what they do.
`

func main() {
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if component, ok := components[os.Args[1]]; ok {
		os.Args = os.Args[1:]
		os.Exit(component())
	}
	if err := command(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "devcluster:", err)
		os.Exit(1)
	}
}

func command(name string, args []string) error {
	commands := map[string]func(context.Context, *cluster.Cluster) error{
		"up":     up,
		"run":    run,
		"down":   func(_ context.Context, c *cluster.Cluster) error { return c.Down() },
		"status": status,
	}
	do, ok := commands[name]
	if !ok {
		return fmt.Errorf("unknown command %q\n\n%s", name, usage)
	}
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	dir := flags.String("dir", "", "the cluster's directory")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *dir == "" || flags.NArg() > 0 {
		return fmt.Errorf("%s takes --dir DIR and nothing else", name)
	}
	// The components run in the directory itself.
	absolute, err := filepath.Abs(*dir)
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	return do(ctx, &cluster.Cluster{Dir: cluster.Directory(absolute), Program: program, Progress: progress()})
}

// progress prints what was done, and the seconds since the start.
func progress() func(string) {
	start := time.Now()
	return func(done string) {
		fmt.Fprintf(os.Stderr, "  %5.1f s  %s\n", time.Since(start).Seconds(), done)
	}
}

func up(ctx context.Context, c *cluster.Cluster) error {
	_, err := c.Up(ctx)
	return err
}

// run ties the cluster's life to that of whoever holds the other end of standard input: however that
// process ends, the cluster goes with it.
func run(ctx context.Context, c *cluster.Cluster) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()

	ended, err := c.Up(ctx)
	if err != nil {
		return err
	}
	if ended == nil {
		return errors.New("somebody else's cluster runs in this directory: name another")
	}
	fmt.Println(c.Dir.Kubeconfig())
	for {
		select {
		case name := <-ended:
			fmt.Fprintf(os.Stderr, "devcluster: %s ended by itself\n", name)
		case <-ctx.Done():
			return c.Down()
		}
	}
}

func status(ctx context.Context, c *cluster.Cluster) error {
	status, err := c.Status(ctx)
	if err != nil {
		return err
	}
	for _, component := range status.Components {
		if component.PID == 0 {
			fmt.Printf("%-20s does not run\n", component.Name)
			continue
		}
		fmt.Printf("%-20s process %d\n", component.Name, component.PID)
	}
	if !status.Healthy() {
		return errors.New(status.String())
	}
	fmt.Println("healthy; KUBECONFIG=" + c.Dir.Kubeconfig())
	return nil
}
