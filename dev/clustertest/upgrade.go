package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twtr-dev/twtr/dev/internal/traffic"
)

func tag(image string) string {
	_, tag, _ := strings.Cut(image, ":")
	return tag
}

// upgrade follows docs/deploy.md, Worker versioning by hand.
func (t *test) upgrade(ctx context.Context) error {
	v1, v2 := tag(t.v1), tag(t.v2)
	if err := t.deployer.make(ctx, "helm-upgrade", "--set versioning.enabled=true"); err != nil {
		return err
	}
	if err := t.setVersion(ctx, "set-current-version", v1); err != nil {
		return err
	}
	load, err := t.startLoad(ctx, "upgrade")
	if err != nil {
		return err
	}
	if err := t.deployer.make(ctx, "helm-upgrade", fmt.Sprintf("--set image.tag=%s --set versioning.previous={%s}", v2, v1)); err != nil {
		return err
	}
	if err := t.setVersion(ctx, "set-ramping-version", v2, "--percentage", "50"); err != nil {
		return err
	}
	if err := traffic.Wait(ctx, 5*time.Second); err != nil { // so that both get work
		return err
	}
	if err := t.setVersion(ctx, "set-current-version", v2); err != nil {
		return err
	}
	if err := traffic.Wait(ctx, 3*time.Second); err != nil {
		return err
	}
	if err := load.Finish(ctx, nil); err != nil {
		return err
	}
	t.Say("%s", load.Summary())
	return t.images(ctx, t.v2)
}

// rollback undoes it, as docs/deploy.md says.
func (t *test) rollback(ctx context.Context) error {
	load, err := t.startLoad(ctx, "back")
	if err != nil {
		return err
	}
	if err := t.setVersion(ctx, "set-current-version", tag(t.v1)); err != nil {
		return err
	}
	if _, err := t.deployer.command(ctx, "", "helm", "-n", t.namespace, "rollback", "twtr", "--wait"); err != nil {
		return err
	}
	if err := load.Finish(ctx, nil); err != nil {
		return err
	}
	t.Say("%s", load.Summary())
	if err := t.images(ctx, t.v1); err != nil {
		return err
	}
	// And to workers without versions. No runs are open, which would need theirs.
	if _, err := t.temporalCLI(ctx, "worker", "deployment", "set-current-version", "--deployment-name", "twtr", "--unversioned", "--yes"); err != nil {
		return err
	}
	return t.deployer.make(ctx, "helm-upgrade", "--set versioning.enabled=false")
}

// setVersion directs new runs to the workers of a build.
func (t *test) setVersion(ctx context.Context, command, build string, args ...string) error {
	return traffic.Eventually(ctx, time.Minute, func() error {
		_, err := t.temporalCLI(ctx, append([]string{"worker", "deployment", command, "--deployment-name", "twtr", "--build-id", build, "--yes"}, args...)...)
		return err
	})
}

// images checks that the API's pods run an image.
func (t *test) images(ctx context.Context, want string) error {
	return traffic.Eventually(ctx, 30*time.Second, func() error {
		images, err := t.deployer.run(ctx, "get", "pods", "-l", "app.kubernetes.io/component=api", "-o", "jsonpath={.items[*].spec.containers[*].image}")
		if err != nil {
			return err
		}
		for _, image := range strings.Fields(images) {
			if image != want {
				return fmt.Errorf("a pod runs %s, not %s", image, want)
			}
		}
		return nil
	})
}
