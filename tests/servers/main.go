// Command servers is what tests fetch from: an OCI registry and an S3-compatible store, the real ones, on loopback.
package main

import (
	"context"
	"crypto/subtle"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: servers COMMAND [FLAGS]

  registry   an OCI registry (github.com/distribution/distribution), which keeps everything in memory
  s3         an S3-compatible store (github.com/versity/versitygw), which keeps everything in a temporary directory

Both listen on a free port of loopback, print their address as the first line of standard output, and end when standard
input closes. servers COMMAND --help lists the flags.
`

// server is what a command serves, and what has to be cleaned up afterwards.
type server struct {
	handler http.Handler
	cleanup func()
}

func main() {
	commands := map[string]func(context.Context, *flag.FlagSet, []string) (*server, error){
		"registry": registry,
		"s3":       s3,
	}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	// Some libraries print there what nobody has to read.
	address := os.Stdout
	if quiet, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
		os.Stdout = quiet
	}
	if err := run(commands[os.Args[1]], os.Args[1], os.Args[2:], address); err != nil {
		fmt.Fprintln(os.Stderr, "servers:", err)
		os.Exit(1)
	}
}

func run(command func(context.Context, *flag.FlagSet, []string) (*server, error), name string, args []string, address io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()

	flags := flag.NewFlagSet(name, flag.ExitOnError)
	cert := flags.String("cert", "", "serve over TLS with the certificate in this `file`")
	key := flags.String("key", "", "the `file` of its key")
	server, err := command(ctx, flags, args)
	if err != nil {
		return err
	}
	defer server.cleanup()
	return serve(ctx, server.handler, *cert, *key, address)
}

func serve(ctx context.Context, handler http.Handler, cert, key string, address io.Writer) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	web := &http.Server{Handler: handler}
	context.AfterFunc(ctx, func() { _ = web.Close() })
	if cert == "" {
		fmt.Fprintf(address, "http://%s\n", listener.Addr())
		err = web.Serve(listener)
	} else {
		fmt.Fprintf(address, "https://%s\n", listener.Addr())
		err = web.ServeTLS(listener, cert, key)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// withPassword lets only those in who have this user name and password.
func withPassword(handler http.Handler, username, password string) http.Handler {
	same := func(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, given, ok := r.BasicAuth(); ok && same(user, username) && same(given, password) {
			handler.ServeHTTP(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
	})
}
