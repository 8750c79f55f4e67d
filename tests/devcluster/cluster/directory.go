package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Directory holds everything that one cluster is: keys, data, logs, and the lock of each component.
type Directory string

// Files of a cluster's directory.
const (
	// marker says that the directory was made by this program, so that it may be removed.
	marker            = ".devcluster"
	kubeconfigFile    = "kubeconfig"
	tokensFile        = "tokens.csv"
	stagesFile        = "stages.yaml"
	authorityFile     = "ca.crt"
	servingCertFile   = "apiserver.crt"
	servingKeyFile    = "apiserver.key"
	issuerPublicFile  = "service-account.pub"
	issuerPrivateFile = "service-account.key"
)

// Users of the kubeconfig, each with a context of the same name.
const (
	// adminUser may do everything, and is who kubectl is when nothing else is asked for.
	adminUser = "admin"
	// nobodyUser is authenticated and has no rights: for tests of refusals.
	nobodyUser = "nobody"
)

func (d Directory) file(name string) string { return filepath.Join(string(d), name) }

// Kubeconfig is the path of the file that kubectl and controllers read.
func (d Directory) Kubeconfig() string { return d.file(kubeconfigFile) }

// exists tells whether a cluster was made here. It is an error when the directory holds something else.
func (d Directory) exists() (bool, error) {
	if _, err := os.Stat(d.file(marker)); err == nil {
		return true, nil
	}
	entries, err := os.ReadDir(string(d))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if len(entries) > 0 {
		return false, fmt.Errorf("%s is not empty and was not made by devcluster: name another directory", d)
	}
	return false, nil
}

// create fills the directory for an API server on the given port.
func (d Directory) create(ports ports, now time.Time) error {
	ca, err := newAuthority(now)
	if err != nil {
		return fmt.Errorf("cannot make the certificate authority: %w", err)
	}
	serving, err := ca.apiServerPair(now)
	if err != nil {
		return fmt.Errorf("cannot make the API server's certificate: %w", err)
	}
	issuer, err := newIssuerPair()
	if err != nil {
		return fmt.Errorf("cannot make the key of service account tokens: %w", err)
	}
	admin, nobody := newToken(), newToken()
	kubeconfig, err := kubeconfig(ports.apiServer, ca.pem, admin, nobody)
	if err != nil {
		return fmt.Errorf("cannot write the kubeconfig: %w", err)
	}
	stages, err := stages()
	if err != nil {
		return err
	}

	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return err
	}
	files := []struct {
		name    string
		content []byte
	}{
		{marker, nil}, // First: a directory that is filled in part can be removed.
		{authorityFile, ca.pem},
		{servingCertFile, serving.public},
		{servingKeyFile, serving.private},
		{issuerPublicFile, issuer.public},
		{issuerPrivateFile, issuer.private},
		{tokensFile, tokens(admin, nobody)},
		{stagesFile, stages},
		{kubeconfigFile, kubeconfig},
	}
	for _, file := range files {
		if err := os.WriteFile(d.file(file.name), file.content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// tokens is the API server's token file: token, user, uid, groups.
func tokens(admin, nobody string) []byte {
	return fmt.Appendf(nil, "%s,%s,%s,system:masters\n%s,%s,%s\n",
		admin, adminUser, adminUser, nobody, nobodyUser, nobodyUser)
}

func kubeconfig(port int, ca []byte, admin, nobody string) ([]byte, error) {
	const name = "devcluster"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{
		Server:                   fmt.Sprintf("https://127.0.0.1:%d", port),
		CertificateAuthorityData: ca,
	}
	for user, token := range map[string]string{adminUser: admin, nobodyUser: nobody} {
		config.AuthInfos[user] = &clientcmdapi.AuthInfo{Token: token}
		config.Contexts[user] = &clientcmdapi.Context{Cluster: name, AuthInfo: user, Namespace: "default"}
	}
	config.CurrentContext = adminUser
	return clientcmd.Write(*config)
}
