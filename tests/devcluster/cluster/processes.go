package cluster

import "fmt"

// Addresses of Services, which nothing routes: there is no kube-proxy.
const (
	serviceRange   = "10.0.0.0/24"
	serviceAddress = "10.0.0.1" // of the Service "kubernetes"
)

// Process is one component with its command line.
type Process struct {
	// Name is the sub-command of this program that runs it, and names its log and its lock.
	Name string
	Args []string
}

// names of all components, in the order in which they start.
var names = []string{"etcd", "apiserver", "controller-manager", "scheduler", "kwok"}

// storeProcesses answer /readyz; nothing else can start before they do.
func storeProcesses(dir Directory, ports ports) []Process {
	return []Process{etcd(dir, ports), apiServer(dir, ports)}
}

// workProcesses are clients of the API server.
func workProcesses(dir Directory) []Process {
	return []Process{controllerManager(dir), scheduler(dir), kwok(dir)}
}

func etcd(dir Directory, ports ports) Process {
	client := fmt.Sprintf("http://127.0.0.1:%d", ports.etcdClient)
	peer := fmt.Sprintf("http://127.0.0.1:%d", ports.etcdPeer)
	return Process{"etcd", []string{
		"--data-dir=" + dir.file("etcd"),
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=default=" + peer,
		"--unsafe-no-fsync", // The data is thrown away with the cluster.
		"--log-level=warn",
	}}
}

func apiServer(dir Directory, ports ports) Process {
	return Process{"apiserver", []string{
		fmt.Sprintf("--etcd-servers=http://127.0.0.1:%d", ports.etcdClient),
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", ports.apiServer),
		// The endpoints of the Service "kubernetes" may not be a loopback address.
		"--endpoint-reconciler-type=none",
		"--tls-cert-file=" + dir.file(servingCertFile),
		"--tls-private-key-file=" + dir.file(servingKeyFile),
		"--token-auth-file=" + dir.file(tokensFile),
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + dir.file(issuerPublicFile),
		"--service-account-signing-key-file=" + dir.file(issuerPrivateFile),
		"--service-cluster-ip-range=" + serviceRange,
		// It would refuse a pod until its namespace has a default service account; no pod runs here.
		"--disable-admission-plugins=ServiceAccount",
	}}
}

func controllerManager(dir Directory) Process {
	return Process{"controller-manager", []string{
		"--kubeconfig=" + dir.Kubeconfig(),
		"--root-ca-file=" + dir.file(authorityFile),
		"--service-account-private-key-file=" + dir.file(issuerPrivateFile),
		"--use-service-account-credentials",
		"--leader-elect=false",
		"--bind-address=127.0.0.1",
		"--secure-port=0",
		// A busy machine must not make the fake node look dead.
		"--node-monitor-grace-period=1h",
		// By default it may send 20 requests a second for each kind: 5 Deployments, which is what everybody who waits for them would be measured by.
		"--kube-api-qps=1000",
		"--kube-api-burst=2000",
	}}
}

func scheduler(dir Directory) Process {
	return Process{"scheduler", []string{
		"--kubeconfig=" + dir.Kubeconfig(),
		"--leader-elect=false",
		"--bind-address=127.0.0.1",
		"--secure-port=0",
	}}
}

func kwok(dir Directory) Process {
	return Process{"kwok", []string{
		"--kubeconfig=" + dir.Kubeconfig(),
		"--config=" + dir.file(stagesFile),
		"--manage-all-nodes=true",
		"--cidr=10.1.0.1/16", // Of pods: apart from that of Services.
	}}
}
