// Package cluster starts, watches and stops a Kubernetes control plane on loopback: real etcd, API
// server, controller manager and scheduler, and one fake node whose pods become ready at once.
// Everything of a cluster is in one directory; several clusters can run side by side.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"k8s.io/client-go/kubernetes"
)

// startDeadline is for a busy machine: a free one needs some five seconds.
const startDeadline = 3 * time.Minute

// Cluster is a control plane in a directory, whether it runs or not.
type Cluster struct {
	Dir Directory
	// Program is this executable, which runs each component by sub-command.
	Program string
	// Progress is told each thing done.
	Progress func(done string)
}

// component by name.
func (c *Cluster) component(name string) Component { return Component{name, c.Dir} }

// Up starts a cluster, and returns once pods can be placed. A cluster that runs already is left as it
// is; the remains of one that died are removed first. When it fails, what it started is stopped, and the
// logs stay. The channel tells the name of the first component that ends; nil when nothing was started.
func (c *Cluster) Up(ctx context.Context) (<-chan string, error) {
	ctx, cancel := context.WithTimeout(ctx, startDeadline)
	defer cancel()
	running, err := c.runs(ctx)
	if err != nil || running {
		return nil, err
	}
	if err := os.RemoveAll(string(c.Dir)); err != nil {
		return nil, err
	}
	ports, err := freePorts()
	if err != nil {
		return nil, err
	}
	if err := c.Dir.create(ports, time.Now()); err != nil {
		return nil, err
	}
	c.Progress("keys, certificates and " + kubeconfigFile)

	ended := make(chan string, len(names))
	if err := c.startAll(ctx, ports, ended); err != nil {
		return nil, errors.Join(err, c.kill())
	}
	return ended, nil
}

// runs tells whether a healthy cluster is in the directory. One of which a part still runs is an error:
// somebody may be looking at it.
func (c *Cluster) runs(ctx context.Context) (bool, error) {
	made, err := c.Dir.exists()
	if err != nil || !made {
		return false, err
	}
	status, err := c.Status(ctx)
	if err != nil {
		return false, err
	}
	switch {
	case status.Healthy():
		c.Progress("a cluster runs there already")
		return true, nil
	case status.running() > 0:
		return false, fmt.Errorf("the cluster in %s is broken (%s): look at its logs, or run down and then up again", c.Dir, status)
	default:
		return false, nil
	}
}

func (c *Cluster) startAll(ctx context.Context, ports ports, ended chan<- string) error {
	client, err := connect(c.Dir)
	if err != nil {
		return err
	}
	if err := c.start(storeProcesses(c.Dir, ports), ended); err != nil {
		return err
	}
	if err := c.await(ctx, client, "the API server is ready", ready); err != nil {
		return err
	}
	if err := c.start(workProcesses(c.Dir), ended); err != nil {
		return err
	}
	if err := c.await(ctx, client, "node "+nodeName+" is registered", createNode); err != nil {
		return err
	}
	if err := c.await(ctx, client, "the controllers are at work", hasServiceAccount); err != nil {
		return err
	}
	return c.await(ctx, client, "node "+nodeName+" takes pods", schedulable)
}

func (c *Cluster) start(processes []Process, ended chan<- string) error {
	for _, process := range processes {
		stopped, err := c.component(process.Name).start(c.Program, append([]string{process.Name}, process.Args...))
		if err != nil {
			return err
		}
		go func() {
			<-stopped
			ended <- process.Name
		}()
		c.Progress(process.Name + " is started")
	}
	return nil
}

// await repeats a check until it holds. A component that ends meanwhile ends the wait.
func (c *Cluster) await(
	ctx context.Context, client kubernetes.Interface, what string,
	check func(context.Context, kubernetes.Interface) error,
) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check(ctx, client)
		if err == nil {
			c.Progress(what)
			return nil
		}
		if dead := c.deadComponent(); dead != "" {
			component := c.component(dead)
			return fmt.Errorf("%s ended by itself; %s ends with:\n%s", dead, component.Log(), component.lastLines(10))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("gave up waiting until %s: %w (last answer: %w; logs in %s)", what, context.Cause(ctx), err, c.Dir)
		case <-tick.C:
		}
	}
}

// deadComponent names one that was started and no longer runs.
func (c *Cluster) deadComponent() string {
	for _, name := range names {
		component := c.component(name)
		if _, err := os.Stat(component.lock()); err != nil {
			continue // Not started yet.
		}
		if pid, err := component.Running(); err == nil && pid == 0 {
			return name
		}
	}
	return ""
}

// Down stops whatever still runs and removes the directory. Nothing there is fine.
func (c *Cluster) Down() error {
	made, err := c.Dir.exists()
	if err != nil || !made {
		return err
	}
	if err := c.kill(); err != nil {
		return err
	}
	c.Progress("all components are stopped")
	return os.RemoveAll(string(c.Dir))
}

// kill stops clients before servers, so that the logs do not end in complaints about each other.
func (c *Cluster) kill() error {
	var failures []error
	for i := range names {
		failures = append(failures, c.component(names[len(names)-1-i]).kill())
	}
	return errors.Join(failures...)
}
