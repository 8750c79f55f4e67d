// Seals and unseals with the code of Sealed Secrets itself, for tests: one request on standard input, one answer on standard output, both JSON. The first
// argument says what is asked.
package main

import (
	"crypto/rsa"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/bitnami-labs/sealed-secrets/pkg/apis/sealedsecrets/v1alpha1"
	"github.com/bitnami-labs/sealed-secrets/pkg/crypto"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// pair is a key as the controller stores it in its Secret.
type pair struct {
	Certificate string `json:"tls.crt"`
	Key         string `json:"tls.key"`
}

// sealing asks for a Secret to be sealed.
type sealing struct {
	Certificate string        `json:"certificate"`
	Secret      corev1.Secret `json:"secret"`
}

// unsealing asks for the Secret that a SealedSecret is.
type unsealing struct {
	Keys         []string              `json:"keys"`
	SealedSecret v1alpha1.SealedSecret `json:"sealedSecret"`
}

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string, in io.Reader, out io.Writer) error {
	if len(arguments) != 1 {
		return errors.New("one of keygen, seal and unseal is the only argument")
	}
	var answer any
	var err error
	switch arguments[0] {
	case "keygen":
		answer, err = keygen()
	case "seal":
		var asked sealing
		if err = json.NewDecoder(in).Decode(&asked); err == nil {
			answer, err = seal(asked)
		}
	case "unseal":
		var asked unsealing
		if err = json.NewDecoder(in).Decode(&asked); err == nil {
			answer, err = unseal(asked)
		}
	default:
		err = fmt.Errorf("%q is none of keygen, seal and unseal", arguments[0])
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(answer)
}

func keygen() (*pair, error) {
	key, certificate, err := crypto.GeneratePrivateKeyAndCert(2048, time.Hour, "test")
	if err != nil {
		return nil, err
	}
	text, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		return nil, err
	}
	block := pem.Block{Type: cert.CertificateBlockType, Bytes: certificate.Raw}
	return &pair{Certificate: string(pem.EncodeToMemory(&block)), Key: string(text)}, nil
}

func seal(asked sealing) (*v1alpha1.SealedSecret, error) {
	certificates, err := cert.ParseCertsPEM([]byte(asked.Certificate))
	if err != nil {
		return nil, err
	}
	key, ok := certificates[0].PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("the certificate has no key of RSA")
	}
	sealed, err := v1alpha1.NewSealedSecret(scheme.Codecs, key, &asked.Secret)
	if err != nil {
		return nil, err
	}
	sealed.TypeMeta = metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "SealedSecret"}
	return sealed, nil
}

func unseal(asked unsealing) (*corev1.Secret, error) {
	keys := map[string]*rsa.PrivateKey{}
	for _, text := range asked.Keys {
		parsed, err := keyutil.ParsePrivateKeyPEM([]byte(text))
		if err != nil {
			return nil, err
		}
		key, ok := parsed.(*rsa.PrivateKey)
		if !ok {
			return nil, errors.New("a key is none of RSA")
		}
		fingerprint, err := crypto.PublicKeyFingerprint(&key.PublicKey)
		if err != nil {
			return nil, err
		}
		keys[fingerprint] = key
	}
	return asked.SealedSecret.Unseal(scheme.Codecs, keys)
}
