package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/twtr-dev/twtr/dev/bench/measure"
)

const (
	guessers = 60
	// guessedUsers are enough that no guess has to wait for the delays of its account: each reaches the queue before the hasher.
	guessedUsers = 10_000
)

// logins measures the time of a log-in, alone and while others guess passwords. Each log-in is of another user at another address,
// each client that guesses is at an address of its own, and all their accounts are the same users.
func logins(b *bench) error {
	password := "a password of the benchmark"
	body := fmt.Sprintf(`{"username":"login-","password":%q,"passwordConfirmation":%q,"email":"login@example.com","displayName":"Login"}`, password, password)
	if err := b.api.Call(b.ctx, http.MethodPost, "/users", "", body, nil); err != nil {
		return err
	}
	user, err := b.store.User(b.ctx, "login-")
	if err != nil {
		return err
	}
	name := func(i int64) string { return fmt.Sprintf("login-%d", i%guessedUsers) }
	if err := measure.Each(128, guessedUsers, func(i int) error {
		one := user
		one.Username = name(int64(i))
		return b.store.CreateUser(b.ctx, one)
	}); err != nil {
		return err
	}
	var next atomic.Int64 // user
	logIn := func(ctx context.Context, from, password string) error {
		api := b.api.From(from)
		defer api.Close()
		body := fmt.Sprintf(`{"username":%q,"password":%q}`, name(next.Add(1)), password)
		return api.Call(ctx, http.MethodPost, "/users/authorize", "", body, nil)
	}
	address := 0
	sample := func() (took []float64, err error) {
		for range b.scale.logins {
			address++
			begin := time.Now()
			if err := logIn(b.ctx, fmt.Sprintf("127.0.%d.%d", 2+address/250%250, 1+address%250), password); err != nil {
				return nil, err
			}
			took = append(took, measure.Milliseconds(time.Since(begin)))
		}
		return took, nil
	}
	figures := map[string][]float64{}
	for range b.scale.rounds {
		alone, err := sample()
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(b.ctx)
		var guesses atomic.Int64
		done := make(chan error, 1)
		go func() {
			done <- measure.Each(guessers, guessers, func(i int) error {
				for ctx.Err() == nil {
					_ = logIn(ctx, fmt.Sprintf("127.0.1.%d", 1+i), "a guess") // it is wrong, or comes too late
					guesses.Add(1)
				}
				return nil
			})
		}()
		busy, err := sample()
		cancel()
		if err := cmp.Or(err, <-done); err != nil {
			return err
		}
		for p, name := range map[float64]string{0.5: "p50", 0.99: "p99"} {
			figures["alone, "+name] = append(figures["alone, "+name], measure.Percentile(alone, p))
			figures["guessed, "+name] = append(figures["guessed, "+name], measure.Percentile(busy, p))
		}
		figures["guesses"] = append(figures["guesses"], float64(guesses.Load()))
	}
	for _, name := range []string{"p50", "p99"} {
		b.add("alone, "+name, "ms", figures["alone, "+name]...)
		guessed := fmt.Sprintf("while %d clients guess, %s", guessers, name)
		b.add(guessed, "ms", figures["guessed, "+name]...)
		b.ratio(guessed, "alone, "+name)
	}
	b.add("guesses meanwhile", "", figures["guesses"]...)
	return nil
}
