//go:build linux

package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/twtr-dev/twtr/dev/internal/checks"
)

// programs are the binaries that run. They are built from the checkout.
type programs struct {
	root   string // of the repository
	v1, v2 string // twtr, in two versions of the same code
	dev    string
	// hindered is twtr whose clock is off by $CHAOS_CLOCK seconds, and which delivers $CHAOS_LATE late.
	hindered string
}

// build builds them, without a safeguard if broken names one.
func build(ctx context.Context, root, dir, broken string) (programs, error) {
	p := programs{
		root: root, v1: filepath.Join(dir, "twtr-v1"), v2: filepath.Join(dir, "twtr-v2"), dev: filepath.Join(dir, "dev"),
		hindered: filepath.Join(dir, "twtr-hindered"),
	}
	changes := &overlay{dir: dir, sources: map[string]string{}}
	if broken != "" {
		if err := changes.breakIt(root, broken); err != nil {
			return p, err
		}
	}
	plain, err := changes.write("plain")
	if err != nil {
		return p, err
	}
	if err := changes.skewClock(ctx); err != nil {
		return p, err
	}
	if err := changes.deliverLate(root); err != nil {
		return p, err
	}
	hindered, err := changes.write("hindered")
	if err != nil {
		return p, err
	}
	for _, args := range [][]string{
		{"build", "-overlay", plain, "-o", p.v1, "-ldflags=-X main.version=v1", "./cmd/twtr"},
		{"build", "-overlay", plain, "-o", p.v2, "-ldflags=-X main.version=v2", "./cmd/twtr"},
		{"build", "-overlay", hindered, "-o", p.hindered, "./cmd/twtr"},
		{"-C", "dev", "build", "-overlay", plain, "-o", p.dev, "."},
	} {
		if _, err := goTool(ctx, root, args...); err != nil {
			return p, err
		}
	}
	return p, nil
}

func goTool(ctx context.Context, dir string, args ...string) (string, error) {
	command := checks.Command(ctx, "go", args...)
	command.Dir, command.Env = dir, append(os.Environ(), "GOWORK=off")
	return checks.Output(command)
}
