package main

import (
	"context"
	"flag"
	"io"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/sirupsen/logrus"
)

func registry(ctx context.Context, flags *flag.FlagSet, args []string) (*server, error) {
	username := flags.String("username", "", "let only this `user` in")
	password := flags.String("password", "", "whose `password` this is")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	logrus.SetOutput(io.Discard)
	config := &configuration.Configuration{
		Storage: configuration.Storage{
			"inmemory": configuration.Parameters{},
			"delete":   configuration.Parameters{"enabled": true},
		},
	}
	// Shared between the answers of an upload only.
	config.HTTP.Secret = "test"
	// What is pushed may refer to what is not there, as with a copy of a part of an index.
	config.Validation.Disabled = true

	server := &server{handler: handlers.NewApp(ctx, config), cleanup: func() {}}
	if *username != "" {
		server.handler = withPassword(server.handler, *username, *password)
	}
	return server, nil
}
