package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"time"

	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

func s3(ctx context.Context, flags *flag.FlagSet, args []string) (*server, error) {
	accessKey := flags.String("access-key", "test", "the access `key` that may do everything")
	secretKey := flags.String("secret-key", "test-secret", "its `secret`")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "plumbline-s3-")
	if err != nil {
		return nil, err
	}
	cleanup := func() { _ = os.RemoveAll(dir) }
	handler, err := gateway(ctx, dir, *accessKey, *secretKey)
	if err != nil {
		cleanup()
		return nil, err
	}
	return &server{handler: handler, cleanup: cleanup}, nil
}

// gateway starts the store below dir. It takes no listener of ours, so it listens on a socket there, and we pass everything on to it.
func gateway(ctx context.Context, dir, accessKey, secretKey string) (http.Handler, error) {
	objects, attributes, socket := filepath.Join(dir, "objects"), filepath.Join(dir, "attributes"), filepath.Join(dir, "socket")
	for _, each := range []string{objects, attributes} {
		if err := os.Mkdir(each, 0o700); err != nil {
			return nil, err
		}
	}
	// Beside the objects, so that any file system will do.
	metadata, err := meta.NewSideCar(attributes)
	if err != nil {
		return nil, err
	}
	store, err := posix.New(objects, metadata, posix.PosixOpts{SideCarDir: attributes})
	if err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() {
		ended <- embedgw.RunVersityGW(ctx, store, &embedgw.Config{
			RootUserAccess:    accessKey,
			RootUserSecret:    secretKey,
			Ports:             []string{socket},
			MaxConnections:    1024,
			MaxRequests:       512,
			MultipartMaxParts: 100,
			Quiet:             true,
			KeepAlive:         true,
		})
	}()
	if err := wait(ctx, socket, ended); err != nil {
		return nil, err
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	return &httputil.ReverseProxy{
		Transport: &http.Transport{DialContext: dial, DisableCompression: true},
		// The signature of a request covers the host that it was sent to.
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", "s3", r.In.Host
		},
	}, nil
}

// wait waits until somebody listens.
func wait(ctx context.Context, socket string, ended <-chan error) error {
	for {
		if connection, err := net.Dial("unix", socket); err == nil {
			return connection.Close()
		}
		select {
		case err := <-ended:
			return errors.Join(errors.New("the store ended"), err)
		case <-ctx.Done():
			return fmt.Errorf("the store did not start: %w", ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}
