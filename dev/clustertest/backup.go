package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/twtr-dev/twtr/dev/internal/traffic"
)

// restore backs everything up, loses it, and restores it, with the commands of docs/deploy.md.
func (t *test) restore(ctx context.Context) error {
	c := t.newClient("")
	author, err := c.SignUp(ctx, "archivist")
	if err != nil {
		return err
	}
	reader, err := c.SignUp(ctx, "historian")
	if err != nil {
		return err
	}
	if err := c.Follow(ctx, reader, "archivist"); err != nil {
		return err
	}
	id, err := c.Post(ctx, author, "worth keeping", "")
	if err != nil {
		return err
	}
	inFeed := func() error {
		ids, err := c.Feed(ctx, reader)
		if err == nil && !slices.Equal(ids, []string{id}) {
			err = fmt.Errorf("the feed has %v, not %s", ids, id)
		}
		return err
	}
	if err := traffic.Eventually(ctx, 20*time.Second, inFeed); err != nil {
		return err
	}
	if err := t.documented(ctx, "Back up"); err != nil {
		return err
	}
	if err := t.deployer.make(ctx, "helm-purge", ""); err != nil {
		return err
	}
	if _, err := t.deployer.run(ctx, "delete", "pvc", "-l", "app.kubernetes.io/instance=twtr"); err != nil {
		return err
	}
	if err := t.deployer.make(ctx, "helm-install", t.values(t.v1)+withEvents); err != nil {
		return err
	}
	if a, err := c.Send(ctx, http.MethodGet, "/users/archivist", traffic.Bearer(""), nil); err != nil {
		return err
	} else if a.Code != http.StatusNotFound {
		return fmt.Errorf("the new installation answers %d for a user of the old one", a.Code)
	}
	if err := t.documented(ctx, "Restore"); err != nil {
		return err
	}
	if err := t.deployer.make(ctx, "helm-upgrade", ""); err != nil {
		return err
	}
	if err := t.served(ctx); err != nil {
		return err
	}
	if author, err = c.SignUp(ctx, "archivist"); err != nil { // logs in
		return err
	}
	if err := inFeed(); err != nil {
		return err
	}
	if err := t.audit(ctx, id); err != nil {
		return err
	}
	_, err = c.Post(ctx, author, "and on", "")
	return err
}
