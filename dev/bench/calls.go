package main

import (
	"fmt"
	"net/http"
	"sync/atomic"
)

// calls measures what else people do, by 4 clients: more only wait for a processor to hash their password.
func calls(b *bench) error {
	const clients = 4
	var n atomic.Int64
	signUp := func(name string) error {
		body := fmt.Sprintf(`{"username":%q,"password":"correct horse","passwordConfirmation":"correct horse","email":"a@example.com","displayName":"A"}`, name)
		return b.call(http.MethodPost, "/users", "", body, nil)
	}
	for i := range clients {
		if err := signUp(fmt.Sprintf("person-%d", i)); err != nil {
			return err
		}
	}
	kinds := []struct {
		name string
		do   func(client int) error
	}{
		{"sign-ups", func(int) error { return signUp(fmt.Sprintf("new-%d", n.Add(1))) }},
		{"logins", func(i int) error {
			return b.call(http.MethodPost, "/users/authorize", "", fmt.Sprintf(`{"username":"person-%d","password":"correct horse"}`, i), nil)
		}},
		{"follows", func(i int) error {
			return b.call(http.MethodPost, "/follow", token(fmt.Sprintf("fan-%d", n.Add(1))), fmt.Sprintf(`{"followingUsername":"person-%d"}`, i), nil)
		}},
	}
	rate := map[string][]float64{}
	for range b.scale.rounds {
		for _, k := range kinds {
			_, perSecond, err := b.load(clients, 0, k.do)
			if err != nil {
				return err
			}
			rate[k.name] = append(rate[k.name], perSecond)
		}
	}
	for _, k := range kinds {
		b.add(k.name, "/s", rate[k.name]...)
	}
	return nil
}
