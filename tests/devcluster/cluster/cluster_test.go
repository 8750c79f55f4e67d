package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"
)

func newCluster(t *testing.T) *Cluster {
	t.Helper()
	dir := Directory(filepath.Join(t.TempDir(), "cluster"))
	return &Cluster{Dir: dir, Program: "/nonexistent", Progress: func(done string) { t.Log(done) }}
}

func create(t *testing.T, c *Cluster) ports {
	t.Helper()
	ports, err := freePorts()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Dir.create(ports, time.Now()); err != nil {
		t.Fatal(err)
	}
	return ports
}

func sleeper(t *testing.T, c Component) <-chan struct{} {
	t.Helper()
	program, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	ended, err := c.start(program, []string{"600"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.kill() })
	return ended
}

func TestDownStopsWhatStillRunsAndRemovesTheDirectory(t *testing.T) {
	c := newCluster(t)
	create(t, c)
	etcd, kwok := sleeper(t, c.component("etcd")), sleeper(t, c.component("kwok"))
	// One is dead already, the others were never started.
	if err := c.component("etcd").kill(); err != nil {
		t.Fatal(err)
	}
	<-etcd

	if err := c.Down(); err != nil {
		t.Fatal(err)
	}
	<-kwok
	if _, err := os.Stat(string(c.Dir)); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the directory is still there: %v", err)
	}
	if err := c.Down(); err != nil {
		t.Fatalf("down of nothing is an error: %v", err)
	}
}

func TestDownLeavesDirectoriesOfOthersAlone(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "precious")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := newCluster(t)
	c.Dir = Directory(dir)
	if err := c.Down(); err == nil || !strings.Contains(err.Error(), "was not made by devcluster") {
		t.Errorf("down: %v", err)
	}
	if _, err := c.Up(context.Background()); err == nil || !strings.Contains(err.Error(), "was not made by devcluster") {
		t.Errorf("up: %v", err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

func TestAComponentIsRunningForAsLongAsItsProcessLives(t *testing.T) {
	c := newCluster(t)
	create(t, c)
	component := c.component("scheduler")
	if pid, err := component.Running(); err != nil || pid != 0 {
		t.Fatalf("before the start: %d, %v", pid, err)
	}
	ended := sleeper(t, component)
	pid, err := component.Running()
	if err != nil || pid == 0 {
		t.Fatalf("after the start: %d, %v", pid, err)
	}
	if _, err := component.start("/nonexistent", nil); err == nil || !strings.Contains(err.Error(), "runs already") {
		t.Fatalf("a second start: %v", err)
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	if pid, err := component.Running(); err != nil || pid != 0 {
		t.Fatalf("after the end: %d, %v", pid, err)
	}
}

func TestUpRefusesAClusterOfWhichAPartRuns(t *testing.T) {
	c := newCluster(t)
	create(t, c)
	sleeper(t, c.component("etcd"))
	_, err := c.Up(context.Background())
	if err == nil || !strings.Contains(err.Error(), "apiserver does not run") {
		t.Fatalf("up: %v", err)
	}
	if pid, err := c.component("etcd").Running(); err != nil || pid == 0 {
		t.Fatalf("up stopped what ran: %d, %v", pid, err)
	}
}

func TestAComponentThatEndsAtOnceIsReportedWithItsLog(t *testing.T) {
	c := newCluster(t)
	// Prints the sub-command and ends, as a component with a wrong flag does.
	program, err := exec.LookPath("echo")
	if err != nil {
		t.Fatal(err)
	}
	c.Program = program
	_, err = c.Up(context.Background())
	if err == nil || !strings.Contains(err.Error(), "ended by itself") || !strings.Contains(err.Error(), "--") {
		t.Fatalf("up: %v", err)
	}
}

func TestTheKubeconfigTrustsTheAPIServersCertificateAndNoOther(t *testing.T) {
	c := newCluster(t)
	create(t, c)
	config, err := clientcmd.LoadFromFile(c.Dir.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	if config.CurrentContext != adminUser || config.Contexts[nobodyUser] == nil {
		t.Errorf("contexts: %v, current %s", config.Contexts, config.CurrentContext)
	}
	if config.AuthInfos[adminUser].Token == config.AuthInfos[nobodyUser].Token {
		t.Error("both users have one token")
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(config.Clusters["devcluster"].CertificateAuthorityData) {
		t.Fatal("the kubeconfig has no certificate authority")
	}
	pair, err := tls.LoadX509KeyPair(c.Dir.file(servingCertFile), c.Dir.file(servingKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	for name, trusted := range map[string]bool{
		"127.0.0.1": true, "localhost": true, "kubernetes.default.svc": true, serviceAddress: true, "example.org": false,
	} {
		_, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: pool})
		if (err == nil) != trusted {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeysAreForTheirOwnerOnly(t *testing.T) {
	c := newCluster(t)
	create(t, c)
	entries, err := os.ReadDir(string(c.Dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", entry.Name(), info.Mode())
		}
	}
}

func TestStagesAreKwoksOwnButForPodsThatMustWait(t *testing.T) {
	config, err := stages()
	if err != nil {
		t.Fatal(err)
	}
	takesWaitingPods := map[string]any{}
	for _, document := range strings.Split(string(config), "---\n")[1:] {
		var stage struct {
			Metadata struct{ Name string }
			Spec     struct {
				Selector struct {
					MatchExpressions []struct{ Key, Operator string }
				}
			}
		}
		if err := yaml.Unmarshal([]byte(document), &stage); err != nil {
			t.Fatal(err)
		}
		takesWaitingPods[stage.Metadata.Name] = nil
		for _, expression := range stage.Spec.Selector.MatchExpressions {
			if strings.Contains(expression.Key, "devcluster.plumbline.dev/waiting") {
				takesWaitingPods[stage.Metadata.Name] = expression.Operator
			}
		}
	}
	for name, expected := range map[string]any{
		"node-initialize": nil, "node-heartbeat": nil, "pod-complete": nil, "pod-delete": nil,
		"pod-ready": "DoesNotExist", "pod-waiting": "Exists",
	} {
		if actual, ok := takesWaitingPods[name]; !ok || actual != expected {
			t.Errorf("stage %s: %v, there: %v", name, actual, ok)
		}
	}
}

func TestAFieldOfANewerKwokIsNotLost(t *testing.T) {
	if _, err := exceptWaitingPods("kind: Stage\nspec: {weight: 3}\n"); err == nil {
		t.Error("an unknown field was accepted")
	}
}

func TestPortsAreFreeDistinctAndOutOfTheEphemeralRange(t *testing.T) {
	ports, err := freePorts()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, port := range []int{ports.etcdClient, ports.etcdPeer, ports.apiServer} {
		if seen[port] || port < lowestPort || port > highestPort {
			t.Errorf("port %d of %+v", port, ports)
		}
		seen[port] = true
	}
}
