package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Component is a process of a cluster, found by its lock: the file DIR/NAME.lock is locked by the
// process for as long as it lives, and holds its number. The lock ends with the process however that
// dies, so a number that the system has given to somebody else meanwhile is never signalled.
type Component struct {
	Name string
	dir  Directory
}

// Log is the path of the file with everything that the process printed.
func (c Component) Log() string { return c.dir.file(c.Name + ".log") }

func (c Component) lock() string { return c.dir.file(c.Name + ".lock") }

// start runs the process in a session of its own, so that it outlives the terminal. The channel is
// closed when the process ends.
func (c Component) start(program string, args []string) (<-chan struct{}, error) {
	lock, err := os.OpenFile(c.lock(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	// The process keeps the lock through its own copy of the file.
	defer func() { _ = lock.Close() }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, fmt.Errorf("%s of this cluster runs already: %w", c.Name, err)
	}
	log, err := os.Create(c.Log())
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()

	command := exec.Command(program, args...)
	command.Dir = string(c.dir)
	command.Stdout, command.Stderr = log, log
	command.ExtraFiles = []*os.File{lock}
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", c.Name, err)
	}
	if err := writeNumber(lock, command.Process.Pid); err != nil {
		return nil, errors.Join(err, command.Process.Kill(), command.Wait())
	}
	ended := make(chan struct{})
	go func() {
		// How it ended is in its log; that it ended is all that matters here.
		_ = command.Wait()
		close(ended)
	}()
	return ended, nil
}

func writeNumber(lock *os.File, pid int) error {
	if err := lock.Truncate(0); err != nil {
		return err
	}
	_, err := lock.WriteAt([]byte(strconv.Itoa(pid)), 0)
	return err
}

// Running returns the process's number, or 0 when it does not run.
func (c Component) Running() (int, error) {
	lock, err := os.Open(c.lock())
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = lock.Close() }()
	// Shared, so that two that look at once do not take each other for the process.
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if err == nil {
		return 0, nil
	}
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return 0, fmt.Errorf("cannot look at %s: %w", c.lock(), err)
	}
	content, err := os.ReadFile(c.lock())
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(string(content))
	if err != nil {
		return 0, fmt.Errorf("%s is locked but names no process: %w", c.lock(), err)
	}
	return pid, nil
}

// stopDeadline is how long a killed process may take to be gone.
const stopDeadline = 10 * time.Second

// kill ends the process at once: all that it could save is thrown away with the cluster.
func (c Component) kill() error {
	deadline := time.Now().Add(stopDeadline)
	for {
		pid, err := c.Running()
		if err != nil || pid == 0 {
			return err
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("cannot stop %s, process %d: %w", c.Name, pid, err)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s, process %d, still runs %s after it was killed", c.Name, pid, stopDeadline)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// lastLines of the log, for an error message.
func (c Component) lastLines(count int) string {
	content, err := os.ReadFile(c.Log())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}
