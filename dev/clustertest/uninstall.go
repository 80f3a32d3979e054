package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twtr-dev/twtr/dev/internal/traffic"
)

// uninstall follows docs/deploy.md, Uninstall, and looks for what is left.
func (t *test) uninstall(ctx context.Context) error {
	if err := t.deployer.make(ctx, "helm-purge", ""); err != nil {
		return err
	}
	if err := t.leaves(ctx, "twtr", "persistentvolumeclaim/"); err != nil {
		return err
	}
	if _, err := t.deployer.run(ctx, "delete", "pvc", "-l", "app.kubernetes.io/instance=twtr"); err != nil {
		return err
	}
	_, err := t.admin.run(ctx, "delete", "--wait=false", "namespace", natsNamespace) // of the check of events
	return err
}

// leaves checks that objects of a release are left only if their names begin so; of none if that is "".
func (t *test) leaves(ctx context.Context, release, kind string) error {
	kinds, err := t.admin.run(ctx, "api-resources", "--namespaced", "--verbs=list", "-o", "name")
	if err != nil {
		return err
	}
	var wanted []string
	for _, kind := range strings.Fields(kinds) {
		// Records of what was there, not objects of ours.
		if !strings.HasPrefix(kind, "events") && !strings.Contains(kind, "metrics.k8s.io") {
			wanted = append(wanted, kind)
		}
	}
	// Pods take a moment to end.
	return traffic.Eventually(ctx, time.Minute, func() error {
		left, err := t.admin.in(t.namespace).run(ctx, "get", strings.Join(wanted, ","), "-l", "app.kubernetes.io/instance="+release, "-o", "name")
		if err != nil {
			return err
		}
		for _, object := range strings.Fields(left) {
			if kind == "" || !strings.HasPrefix(object, kind) {
				return fmt.Errorf("%s is left", object)
			}
		}
		return nil
	})
}
