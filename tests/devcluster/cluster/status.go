package cluster

import (
	"context"
	"fmt"
	"strings"
)

// Status of a cluster.
type Status struct {
	Components []ComponentStatus
	// NotReady is why the API server does not answer that it is ready; nil when it does.
	NotReady error
}

// ComponentStatus says whether one process runs.
type ComponentStatus struct {
	Name string
	// PID is 0 when it does not run.
	PID int
}

// Status looks at the processes, and asks the API server when it runs.
func (c *Cluster) Status(ctx context.Context) (Status, error) {
	var status Status
	for _, name := range names {
		pid, err := c.component(name).Running()
		if err != nil {
			return Status{}, err
		}
		status.Components = append(status.Components, ComponentStatus{name, pid})
	}
	status.NotReady = c.askReady(ctx)
	return status, nil
}

func (c *Cluster) askReady(ctx context.Context) error {
	client, err := connect(c.Dir)
	if err != nil {
		return err
	}
	return ready(ctx, client)
}

// Healthy means that everything runs and the API server is ready.
func (s Status) Healthy() bool {
	return s.running() == len(s.Components) && s.NotReady == nil
}

func (s Status) running() int {
	count := 0
	for _, component := range s.Components {
		if component.PID != 0 {
			count++
		}
	}
	return count
}

// String names what is wrong, in one line.
func (s Status) String() string {
	var wrong []string
	for _, component := range s.Components {
		if component.PID == 0 {
			wrong = append(wrong, component.Name+" does not run")
		}
	}
	if s.NotReady != nil {
		wrong = append(wrong, fmt.Sprintf("the API server is not ready: %v", s.NotReady))
	}
	if len(wrong) == 0 {
		return "healthy"
	}
	return strings.Join(wrong, ", ")
}
