package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/twtr-dev/twtr/dev/internal/traffic"
)

// rotateKeys replaces both keys in the three steps of docs/deploy.md, Rotate keys, taken together.
func (t *test) rotateKeys(ctx context.Context) error {
	oldAuth, err := t.secretValue(ctx, "auth-keys")
	if err != nil {
		return err
	}
	oldSeal, err := t.secretValue(ctx, "seal-key")
	if err != nil {
		return err
	}
	newAuth, newSeal := "k2:"+secret(), secret()
	c := t.newClient("")
	oldToken, err := c.SignUp(ctx, "rotated")
	if err != nil {
		return err
	}
	load, err := t.startLoad(ctx, "rotate")
	if err != nil {
		return err
	}
	for _, step := range []struct{ auth, seal string }{
		{oldAuth + "," + newAuth, oldSeal + "," + newSeal}, // all verify with the new ones
		{newAuth + "," + oldAuth, newSeal + "," + oldSeal}, // the new ones sign
	} {
		if err := t.setKeys(ctx, step.auth, step.seal); err != nil {
			return errors.Join(err, load.Finish(ctx, nil))
		}
	}
	newToken, err := c.SignUp(ctx, "rotated") // logs in: signed with the new key
	if err != nil {
		return err
	}
	if err := load.Finish(ctx, nil); err != nil {
		return err
	}
	if err := t.setKeys(ctx, newAuth, newSeal); err != nil {
		return err
	}
	if err := c.Call(ctx, http.MethodGet, "/users/me", newToken, nil, nil); err != nil {
		return err
	}
	if a, err := c.Send(ctx, http.MethodGet, "/users/me", traffic.Bearer(oldToken), nil); err != nil {
		return err
	} else if a.Code != http.StatusUnauthorized {
		return fmt.Errorf("a token of the key that was removed is answered with %d", a.Code)
	}
	t.Say("%s", load.Summary())
	return nil
}

func (t *test) secretValue(ctx context.Context, key string) (string, error) {
	return t.deployer.run(ctx, "get", "secret", "twtr", "-o", `go-template={{index .data "`+key+`" | base64decode}}`)
}

// setKeys changes the secret and restarts the pods that read it, with the commands of docs/deploy.md.
func (t *test) setKeys(ctx context.Context, auth, seal string) error {
	manifest, err := t.deployer.run(ctx, "create", "secret", "generic", "twtr",
		"--from-literal", "auth-keys="+auth, "--from-literal", "seal-key="+seal, "--dry-run=client", "-o", "yaml")
	if err != nil {
		return err
	}
	if _, err := t.deployer.apply(ctx, manifest, "apply", "-f", "-"); err != nil {
		return err
	}
	if _, err := t.deployer.run(ctx, "rollout", "restart", "deploy"); err != nil {
		return err
	}
	_, err = t.deployer.run(ctx, "rollout", "status", "deploy", "-l", "app.kubernetes.io/instance=twtr", "--timeout=3m")
	return err
}
